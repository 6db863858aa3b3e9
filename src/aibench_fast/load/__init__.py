"""A run: what is asked for, and the load that makes a result of it."""
