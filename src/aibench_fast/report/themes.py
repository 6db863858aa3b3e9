"""How the report's plots look, in light and in dark: Vega-Lite configurations."""

from typing import Any

Config = dict[str, Any]

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', 'Liberation Sans', sans-serif"

SERIES = (
    "#4269d0", "#ef9f18", "#e8503a", "#3fb5a3", "#3c9a46", "#f075a6", "#a463f2", "#6fa3e8",
    "#9c6b4e", "#8a929e",
)  # fmt: skip
"""Distinct hues, on light and on dark. More series than these get a continuous scheme."""


def _config(theme: int) -> Config:
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
