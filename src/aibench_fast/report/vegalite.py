"""How plots look, and the packages of the extra `report` that draw them: each is imported only
when a report is written or a plot is drawn.
"""

from importlib import import_module
from typing import Any

from aibench_fast.errors import ConfigError

_LIBRARY = ("vl_convert", "vl-convert-python")
PICTURE_WIDTH = 900
PICTURE_SCALE = 2.0
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', 'Liberation Sans', sans-serif"

SERIES = (
    "#4269d0", "#ef9f18", "#e8503a", "#3fb5a3", "#3c9a46", "#f075a6", "#a463f2", "#6fa3e8",
    "#9c6b4e", "#8a929e",
)  # fmt: skip
"""Distinct hues, on light and on dark. More series than these get a continuous scheme."""


def _config(theme: int) -> dict[str, Any]:
    """Return the light one, 0, or the dark one, 1."""
    text = ("#1c2430", "#e6eaf0")[theme]
    muted = ("#5a6472", "#9aa5b4")[theme]
    grid = ("#e4e8ee", "#2b3442")[theme]
    shade = ("#eef1f5", "#222a36")[theme]
    failed = ("#d62839", "#ff6b74")[theme]
    first = ("#2f5fd0", "#7aa2ff")[theme]
    on_high = ("#ffffff", "#10151d")[theme]
    heat = ([0.05, 0.95], [1.0, 0.25])[theme]
    return {
        "background": "transparent",
        "font": FONT,
        "view": {"stroke": None},
        "axis": {
            "labelColor": muted, "titleColor": muted, "titleFontWeight": "normal",
            "labelFontSize": 12, "titleFontSize": 12, "titlePadding": 8, "labelPadding": 6,
            "gridColor": grid, "domainColor": grid, "tickColor": grid, "ticks": False,
            "labelOverlap": "greedy",
        },
        "axisY": {"domain": False, "tickCount": 5},
        "axisX": {"grid": False},
        "legend": {
            "labelColor": text, "titleColor": muted, "titleFontWeight": "normal",
            "labelFontSize": 12, "titleFontSize": 12, "symbolType": "stroke", "symbolSize": 200,
            "symbolBaseFillColor": muted, "symbolBaseStrokeColor": muted,
            "symbolStrokeWidth": 3, "symbolOpacity": 1, "offset": 12,
        },
        "title": {"color": text, "fontSize": 15, "anchor": "start", "offset": 12},
        "line": {"strokeWidth": 2.2},
        "mark": {"color": first},
        "text": {"fontSize": 12},
        "range": {
            "ordinal": list(SERIES),
            "heatmap": {"scheme": "blues", "extent": heat},
            "ramp": {"scheme": "blues", "extent": heat},
        },
        "style": {
            "burn-in": {"color": shade, "opacity": 1},
            "spread": {"color": text, "strokeWidth": 1.5, "opacity": 0.7},
            "target": {"color": failed, "strokeDash": [2, 3], "strokeWidth": 2},
            "edge": {"color": text, "strokeDash": [6, 4], "strokeWidth": 2},
            "failed": {"color": failed, "size": 120, "strokeWidth": 2.5, "opacity": 1},
        },
        "params": [{"name": "onLow", "value": text}, {"name": "onHigh", "value": on_high}],
    }  # fmt: skip


LIGHT, DARK = _config(0), _config(1)
"""Vega-Lite configurations of plots."""


def imported(module: str, package: str) -> Any:
    """Import a module of the extra; ConfigError if its package is not installed."""
    try:
        return import_module(module)
    except ImportError as error:
        raise ConfigError(
            f"a report needs {package}, which is not installed: pip install 'aibench-fast[report]'"
        ) from error


def script_bundle() -> str:
    """Return Vega, Vega-Lite and Vega-Embed as one script, which sets `vegaEmbed`; ConfigError as
    the others.
    """
    bundle: str = imported(*_LIBRARY).javascript_bundle()
    return bundle


def to_svg(spec: dict[str, Any]) -> str:
    """Draw one plot as SVG; ConfigError if the library is not installed."""
    picture: str = imported(*_LIBRARY).vegalite_to_svg(spec, config=LIGHT, allowed_base_urls=[])
    return picture


def to_png(spec: dict[str, Any], title: str) -> bytes:
    """Draw one plot as a PNG picture; ConfigError if the library is not installed."""
    sized = spec | {"width": PICTURE_WIDTH, "title": title, "background": "white", "padding": 20}
    picture: bytes = imported(*_LIBRARY).vegalite_to_png(
        sized, scale=PICTURE_SCALE, config=LIGHT, allowed_base_urls=[]
    )
    return picture
