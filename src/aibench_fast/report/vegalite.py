"""Packages of the extra `report`, imported only when a report is written or a plot is drawn."""

from importlib import import_module
from typing import Any

from aibench_fast.errors import ConfigError

_LIBRARY = ("vl_convert", "vl-convert-python")
PICTURE_WIDTH = 900
PICTURE_SCALE = 2.0


def imported(module: str, package: str) -> Any:
    """Import a module of the extra; ConfigError if its package is not installed."""
    try:
        return import_module(module)
    except ImportError as error:
        raise ConfigError(
            f"a report needs {package}, which is not installed: pip install 'aibench-fast[report]'"
        ) from error


def script_bundle() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script that sets `vegaEmbed`.

    ConfigError if the library is not installed.
    """
    bundle: str = imported(*_LIBRARY).javascript_bundle()
    return bundle


def to_svg(spec: dict[str, Any], config: dict[str, Any]) -> str:
    """Draw one plot as SVG; ConfigError if the library is not installed."""
    picture: str = imported(*_LIBRARY).vegalite_to_svg(spec, config=config, allowed_base_urls=[])
    return picture


def to_png(spec: dict[str, Any], title: str, config: dict[str, Any]) -> bytes:
    """Draw one plot as a PNG picture; ConfigError if the library is not installed."""
    sized = spec | {"width": PICTURE_WIDTH, "title": title, "background": "white", "padding": 20}
    picture: bytes = imported(*_LIBRARY).vegalite_to_png(
        sized, scale=PICTURE_SCALE, config=config, allowed_base_urls=[]
    )
    return picture
