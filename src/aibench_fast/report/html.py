"""The report as one HTML file that needs no network: figures, plots, set-up."""

import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

from aibench_fast.files import write_text
from aibench_fast.report import themes
from aibench_fast.report.charts import charts, choices, defaults
from aibench_fast.report.content import CellSummary, Content, commands, facts
from aibench_fast.report.doubts import doubts
from aibench_fast.report.keyfigures import key_figures
from aibench_fast.report.plot import Chart
from aibench_fast.report.vegalite import script_bundle
from aibench_fast.results.notation import fact_text, figure_text
from aibench_fast.results.parts import Part
from aibench_fast.results.servers import FIGURES, USE_FIGURES

MAX_NAMED = 8
"""Doubts and different facts that are listed one by one; more would fill the page."""

MAX_ROWS = 2000
"""Of the table of cells."""
MAX_COMMANDS = 50

# Nothing is fetched from anywhere. Vega makes functions of its expressions, hence unsafe-eval.
POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; "
    "img-src data:"
)


def write_report(path: Path, content: Content) -> None:
    """Write the page, whole or not at all; ConfigError where it cannot be written."""
    write_text(path, "".join(_page(content)))


def _page(content: Content) -> Iterator[str]:
    drawn = charts(content)
    title = f"Benchmark report: {content.source}"
    yield "<!doctype html>\n"
    yield '<html lang="en">\n<head>\n<meta charset="utf-8">\n'
    yield f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
    yield '<meta name="color-scheme" content="light dark">\n'
    yield f"<title>{escape(title)}</title>\n"
    yield f"<style>\n{_asset('page.css')}</style>\n</head>\n<body>\n"
    yield from _head(content)
    yield "<main>\n"
    yield from _doubts(content)
    yield from _figures(content)
    yield from _limits(content)
    yield from _plots(content, drawn)
    yield from _cells(content)
    yield from _parts(content)
    yield from _setup(content)
    yield "</main>\n"
    yield "<noscript><p>The plots need JavaScript; the tables do not.</p></noscript>\n"
    yield f"<script>{_script(script_bundle())}</script>\n"
    yield f'<script type="application/json" id="report-data">{_json(_data(drawn))}</script>\n'
    yield f"<script>\n{_asset('page.js')}</script>\n</body>\n</html>\n"


def _asset(name: str) -> str:
    return files(__package__).joinpath(name).read_text("utf-8")


def _data(drawn: Iterable[Chart]) -> dict[str, Any]:
    return {
        "themes": {"light": themes.LIGHT, "dark": themes.DARK},
        "charts": {chart.name: chart.spec for chart in drawn},
    }


def _json(value: Any) -> str:
    """JSON that cannot end the script element that it is in."""
    return json.dumps(value, separators=(",", ":")).replace("<", "\\u003c")


def _script(text: str) -> str:
    return text.replace("</script", "<\\/script")


def _head(content: Content) -> Iterator[str]:
    runs = content.runs
    starts = [run.start_unix_ms for run in runs if run.start_unix_ms]
    told = [
        _counted(len(runs), "result"),
        _counted(len(content.cells), "cell"),
        *([_days(starts)] if starts else []),
        *dict.fromkeys(f"{one.kind} {one.version}" for run in runs if (one := run.server)),
    ]
    yield "<header>\n<p class=tool>aibench-fast</p>\n<h1>Benchmark report</h1>\n"
    yield f"<p class=source>{escape(content.source)}</p>\n"
    yield f"<ul class=told>{''.join(f'<li>{escape(one)}</li>' for one in told)}</ul>\n</header>\n"


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _days(starts_ms: Sequence[int]) -> str:
    first, last = (
        datetime.fromtimestamp(start / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")
        for start in (min(starts_ms), max(starts_ms))
    )
    return first if first == last else f"{first} to {last}"


def _doubts(content: Content) -> Iterator[str]:
    """What a reader has to know before trusting the figures."""
    groups = doubts(content)
    if not any(lines for _, lines in groups):
        return
    yield '<section class=doubts aria-label="Doubts">\n<h2>Before you trust the figures</h2>\n'
    for words, lines in groups:
        if lines:
            more = len(lines) - MAX_NAMED
            shown = [*lines[:MAX_NAMED], *([f"and {more} more"] if more > 0 else [])]
            items = "".join(f"<li>{escape(line)}</li>" for line in shown)
            yield f"<p>{words}:</p>\n<ul>{items}</ul>\n"
    yield "</section>\n"


def _figures(content: Content) -> Iterator[str]:
    yield '<section class=figures aria-label="Key figures">\n'
    for one in key_figures(content):
        yield (
            f'<div class="figure{" answer" if one.is_answer else ""}"><p class=name>{one.name}</p>'
            f"<p class=value>{one.value} <span class=unit>{one.unit}</span></p>"
            f"<p class=of>{escape(one.of)}</p></div>\n"
        )
    yield "</section>\n"


def _limits(content: Content) -> Iterator[str]:
    """What of very many cells is not shown, and how the rest was chosen."""
    cells, drawn = len(content.cells), len(content.drawn)
    told = []
    if drawn < cells:
        told.append(
            f"Of {cells:,} cells the plots show {drawn:,}: those of the settings with the highest "
            "throughput, all worker counts of each."
        )
    if content.timed < drawn:
        told.append(f"One run over time is that of the {content.timed:,} fastest cells.")
    if cells > MAX_ROWS:
        told.append(
            f"The table has the {MAX_ROWS:,} fastest cells; aibench-fast export writes all results."
        )
    if told:
        yield f"<p class=limits>{' '.join(told)}</p>\n"


def _plots(content: Content, drawn: Sequence[Chart]) -> Iterator[str]:
    groups = [
        ("Search", [one for one in drawn if one.name.startswith("search-")]),
        ("Servers side by side", [one for one in drawn if one.choice == "setting"]),
        ("Servers' latencies", [one for one in drawn if one.choice == "place"]),
        ("Throughput", [one for one in drawn if one.name.startswith(("throughput-", "heatmap-"))
                        and not one.choice]),
        ("Latency", [one for one in drawn if one.choice == "variant"]),
        ("One run over time", [one for one in drawn if one.choice == "cell"]),
    ]  # fmt: skip
    for heading, group in groups:
        if not group:
            continue
        choice = group[0].choice
        yield f"<section>\n<h2>{heading}</h2>\n"
        if choice:
            yield from _select(content, choice)
        yield f"<div class={'plots' if choice in ('', 'setting') else 'wide'}>\n"
        for chart in group:
            yield (
                f"<figure><figcaption><h3>{escape(chart.title)}</h3>"
                f"<p>{escape(chart.note)}</p></figcaption>"
                f'<div class=chart id="{chart.name}" role=img aria-label="{escape(chart.title)}">'
                "</div></figure>\n"
            )
        yield "</div>\n</section>\n"


def _select(content: Content, choice: str) -> Iterator[str]:
    offered = choices(content)[choice]
    if len(offered) < 2:
        yield f"<p class=chosen>{escape(offered[0])}</p>\n"
        return
    first = defaults(content)[choice]
    options = "".join(
        f"<option value={place}{' selected' if place == first else ''}>{escape(one)}</option>"
        for place, one in enumerate(offered)
    )
    label = {"variant": "Settings", "cell": "Cell", "setting": "Settings", "place": "Settings"}[
        choice
    ]
    yield f"<p><label>{label} <select data-choice={choice}>{options}</select></label></p>\n"


def _cells(content: Content) -> Iterator[str]:
    limited = any(one.cell.max_rps for one in content.cells)
    compared = any(one.cell.server_name for one in content.cells)
    batching = any(one.cell.autobatching >= 0 for one in content.cells)
    heads = [
        *(["Server"] if compared else []),
        "Workers",
        *(["Auto-batching"] if batching else []),
        "Tensor batch",
        *(["Limit (requests/s)"] if limited else []),
    ]
    heads += ["Inferences/s", "p50 (ms)", "p95 (ms)", "p99 (ms)", "Slowest run", "Fastest run"]
    if compared:
        heads += ["CPU (cores)", "CPU an inference (ms)", "Memory (MiB)"]
    heads += ["Runs", "Failed requests"]
    yield _heads_in_cells("#cells", heads)
    yield "<section>\n<h2>All cells</h2>\n<p>Medians of each cell's runs.</p>\n"
    yield '<div class=scroll tabindex=0><table id="cells">\n<thead><tr>'
    yield "".join(f"<th scope=col>{head}</th>" for head in heads)
    yield "</tr></thead>\n<tbody>\n"
    fastest = sorted(content.cells, key=lambda one: one.rate, reverse=True)[:MAX_ROWS]
    shown = {one.cell for one in fastest}
    for one in content.cells:
        if one.cell not in shown:
            continue
        yield _row(_cell_values(one, limited, compared, batching))
    yield "</tbody></table></div>\n</section>\n"


def _row(values: Iterable[str]) -> str:
    return f"<tr>{''.join(f'<td>{value}</td>' for value in values)}</tr>\n"


def _heads_in_cells(table: str, heads: Sequence[str]) -> str:
    """Style that puts its head before each value, on a screen too narrow for columns."""
    rules = "".join(
        f'{table} td:nth-child({place})::before{{content:"{head}"}}'
        for place, head in enumerate(heads, 1)
    )
    return f"<style>@media (max-width: 520px){{{rules}}}</style>\n"


def _cell_values(one: CellSummary, limited: bool, compared: bool, batching: bool) -> Iterator[str]:
    cell = one.cell
    if compared:
        yield escape(cell.server_name)
    yield str(cell.workers)
    if batching:
        yield "not known" if cell.autobatching < 0 else str(cell.autobatching)
    yield str(cell.batch_size or "of a mix")
    if limited:
        yield f"{cell.max_rps:g}" if cell.max_rps else "none"
    yield f"{one.rate:,.3f}"
    for name in ("q50", "q95", "q99"):
        yield figure_text(one.quantile_ms(name), ",.3f")
    yield f"{min(one.rates):,.3f}"
    yield f"{max(one.rates):,.3f}"
    for figure in FIGURES if compared else ():
        if figure.name in USE_FIGURES:
            yield figure_text(one.median(figure), ",.3f")
    yield str(len(one.runs))
    yield f"{one.failed:,}"


_PART_HEADS = (
    "Part", "Name", "Requests", "Inferences/s", "p50 (ms)", "p99 (ms)", "Failed requests", "Shed",
    "Unsent",
)  # fmt: skip


def _parts(content: Content) -> Iterator[str]:
    """Steps, kinds, servers and clients of the run whose rate is its cell's median."""
    cells = [one for one in content.cells if one.parts]
    if not cells:
        return
    yield _heads_in_cells("#parts", _PART_HEADS)
    yield '<section id="parts">\n<h2>Parts of a run</h2>\n'
    yield "<p>Of the run whose rate is the cell's median. The parts of one sort add up to it.</p>\n"
    for one in cells[:MAX_NAMED]:
        yield f"<h3>{escape(str(one.cell))}</h3>\n<div class=scroll tabindex=0><table>\n<thead><tr>"
        yield "".join(f"<th scope=col>{head}</th>" for head in _PART_HEADS)
        yield "</tr></thead>\n<tbody>\n"
        for part in one.parts:
            yield _row(_part_values(part))
        yield "</tbody></table></div>\n"
    if len(cells) > MAX_NAMED:
        yield f"<p>And of {len(cells) - MAX_NAMED} more cells, which their result files have.</p>\n"
    yield "</section>\n"


def _part_values(part: Part) -> Iterator[str]:
    yield part.what
    yield escape(part.name)
    yield f"{part.requests:,}"
    for value in (part.inferences_per_s, part.q50_ms, part.q99_ms):
        yield figure_text(value, ",.3f")
    yield f"{part.failed:,}"
    yield f"{part.shed:,}"
    yield figure_text(part.unsent, ",")


_FACT_NAMES = {
    "CpuModel": "CPU",
    "Package": "aibench-fast",
    "Hiredis": "hiredis",
    "Tls": "TLS",
    "ServerConfig": "Server settings",
    "ModelDigest": "Model SHA-256",
    "DataDigest": "Tensors SHA-256",
}


def _setup(content: Content) -> Iterator[str]:
    yield "<section>\n<h2>Set-up</h2>\n<dl>\n"
    for name, values in facts(content.runs).items():
        yield f"<div><dt>{escape(_FACT_NAMES.get(name, name))}</dt>"
        yield "".join(f"<dd>{_value(value)}</dd>" for value in values[:MAX_NAMED])
        if len(values) > MAX_NAMED:
            yield f"<dd>and {len(values) - MAX_NAMED} more</dd>"
        yield "</div>\n"
    yield "</dl>\n"
    typed = commands(content.runs)
    if typed:
        more = len(typed) - MAX_COMMANDS
        shown = [*typed[:MAX_COMMANDS], *([f"and {more:,} more"] if more > 0 else [])]
        lines = "\n".join(map(escape, shown))
        yield f"<h3>Commands</h3>\n<pre tabindex=0><code>{lines}</code></pre>\n"
    yield "</section>\n"


def _value(value: Any) -> str:
    if isinstance(value, dict):
        settings = (escape(f"{name} {fact_text(inner)}") for name, inner in value.items())
        return "".join(f"<span class=setting>{setting}</span> " for setting in settings)
    return escape(fact_text(value))
