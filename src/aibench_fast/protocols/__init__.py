"""How servers are spoken to: one folder a protocol, and what all of them share."""
