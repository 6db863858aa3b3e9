"""The client core as Python sees it."""
