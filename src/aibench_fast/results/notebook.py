"""What a notebook shows of a value of this room."""

from importlib import import_module


class ShownInNotebooks:
    """Gives a value the HTML that Jupyter asks for."""

    def _repr_html_(self) -> str:
        # By name and only when a notebook asks: nothing in this room knows how figures are shown.
        html: str = import_module("aibench_fast.report.notebook").html(self)
        return html
