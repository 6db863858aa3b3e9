"""How a figure is written that may not be known, and how a fact is."""

NOT_AVAILABLE = "n/a"


def figure_text(value: float | None, form: str = ".3f") -> str:
    """The value in Python's format; NOT_AVAILABLE where there is none."""
    return NOT_AVAILABLE if value is None else format(value, form)


def fact_text(value: object) -> str:
    """A fact as a person reads it: yes and no, not Python's True and False."""
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)
