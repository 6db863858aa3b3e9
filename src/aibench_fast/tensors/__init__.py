"""Photographs become a tensor file: its bytes, its figures, its pictures."""
