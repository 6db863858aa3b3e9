"""The report's plots as PNG pictures."""

from pathlib import Path

from aibench_fast.files import replacing
from aibench_fast.report import themes
from aibench_fast.report.charts import charts
from aibench_fast.report.content import Content
from aibench_fast.report.vegalite import to_png


def write_pictures(folder: Path, content: Content) -> list[Path]:
    """Draw every plot into the folder, each under its name; return the files.

    Where a page would offer a choice, what it shows first is drawn, and the title says which.
    ConfigError if a file cannot be written or the plotting library is not installed.
    """
    written = []
    for chart in charts(content):
        title = chart.title
        if chart.choice:
            title += f" ({chart.choice.offered[chart.choice.first]})"
        path = folder / f"{chart.name.replace('/', '-')}.png"
        with replacing(path) as file:
            file.write(to_png(chart.spec, title, themes.LIGHT))
        written.append(path)
    return written
