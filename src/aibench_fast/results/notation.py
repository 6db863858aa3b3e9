"""Figures that may be unknown, and facts, as text."""

NOT_AVAILABLE = "n/a"


def figure_text(value: float | None, form: str = ".3f") -> str:
    """Return the value in Python's format; NOT_AVAILABLE for None."""
    return NOT_AVAILABLE if value is None else format(value, form)


def fact_text(value: object) -> str:
    """Return a fact as text: yes and no for Python's True and False."""
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)
