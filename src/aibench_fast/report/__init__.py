"""Runs shown as text, pages and pictures."""
