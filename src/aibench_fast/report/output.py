"""The report as files: one HTML page that needs no network, or PNG pictures."""

from importlib.resources import files
from pathlib import Path

from aibench_fast.files import replacing, write_text
from aibench_fast.report.charts import charts
from aibench_fast.report.content import Content
from aibench_fast.report.page import page_of
from aibench_fast.report.vegalite import DARK, LIGHT, imported, script_bundle, to_png


def write_report(path: Path, content: Content) -> None:
    """Write the page, whole or not at all; ConfigError if it cannot be written or a package of the
    extra `report` is not installed.
    """
    jinja2 = imported("jinja2", "Jinja2")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    # Not sorted: plots are drawn in the order that they have in the JSON.
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":")}
    drawn = charts(content)
    text: str = environment.from_string(_asset("page.html")).render(
        page=page_of(content, drawn),
        plots={
            "themes": {"light": LIGHT, "dark": DARK},
            "charts": {chart.name: chart.spec for chart in drawn},
        },
        style=_asset("page.css"),
        script=_asset("page.js"),
        vega=script_bundle().replace("</script", "<\\/script"),
    )
    write_text(path, text)


def _asset(name: str) -> str:
    return files(__package__).joinpath(name).read_text("utf-8")


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
            file.write(to_png(chart.spec, title))
        written.append(path)
    return written
