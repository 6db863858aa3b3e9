"""How values of this package come by the HTML that a notebook shows."""

from collections.abc import Callable

ToHtml = Callable[[object], str]

_to_html: ToHtml | None = None


def show_with(to_html: ToHtml) -> None:
    """Have `to_html` make the HTML: this package does not know how figures are shown."""
    global _to_html
    _to_html = to_html


class ShownInNotebooks:
    """Gives a value the HTML that Jupyter asks for."""

    def _repr_html_(self) -> str | None:
        return None if _to_html is None else _to_html(self)
