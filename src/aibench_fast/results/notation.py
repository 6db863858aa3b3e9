"""How a figure is written that may not be known."""

NOT_AVAILABLE = "n/a"


def figure_text(value: float | None, form: str = ".3f") -> str:
    """The value in Python's format; NOT_AVAILABLE where there is none."""
    return NOT_AVAILABLE if value is None else format(value, form)
