"""Turns photographs into a tensor file, and shows what a tensor file holds."""
