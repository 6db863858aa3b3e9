"""Any HTTP endpoint: bodies of any kind are sent, and replies are judged by their status."""
