"""The report as one HTML file that needs no network."""

from importlib.resources import files
from pathlib import Path

from aibench_fast.files import write_text
from aibench_fast.report import themes
from aibench_fast.report.charts import charts
from aibench_fast.report.content import Content
from aibench_fast.report.page import page_of
from aibench_fast.report.vegalite import imported, script_bundle


def write_report(path: Path, content: Content) -> None:
    """Write the page, whole or not at all.

    ConfigError if it cannot be written or a package of the extra `report` is not installed.
    """
    write_text(path, _rendered(content))


def _rendered(content: Content) -> str:
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
            "themes": {"light": themes.LIGHT, "dark": themes.DARK},
            "charts": {chart.name: chart.spec for chart in drawn},
        },
        style=_asset("page.css"),
        script=_asset("page.js"),
        vega=script_bundle().replace("</script", "<\\/script"),
    )
    return text


def _asset(name: str) -> str:
    return files(__package__).joinpath(name).read_text("utf-8")
