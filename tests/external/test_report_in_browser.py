"""The report as a person sees it: a real Chromium opens it, and reads it back."""

import base64
import dataclasses
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from commandline import Cli, in_process
from PIL import Image
from reportfolders import EVIL, searched, sweep
from resultfiles import changed, go_document, our_result, token_result, write
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.select import Select

SCREENSHOTS = Path(__file__).parents[2] / "build" / "screenshots"
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--no-first-run",
)  # fmt: skip
EVIL_NAME = "a/b #1 </script>&c"


@pytest.fixture(scope="module")
def browser(system_program: Callable[[str, str], Path]) -> Iterator[webdriver.Chrome]:
    chromium = system_program("chromium", "chromium")
    driver = system_program("chromedriver", "chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = str(chromium)
    for flag in FLAGS:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    chrome = webdriver.Chrome(options, webdriver.ChromeService(str(driver)))
    yield chrome
    chrome.quit()


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a small sweep."""
    folder = tmp_path_factory.mktemp("report")
    sweep(folder / "results")
    assert in_process(folder, "report", "results", "--out", "out/report.html").returncode == 0
    return folder / "out" / "report.html"


def opened(
    browser: webdriver.Chrome, path: Path, *, theme: str = "light", width: int = 1280
) -> None:
    """Open a page in a theme at a width, and wait until its plots are drawn."""
    for kind in ("browser", "performance"):
        browser.get_log(kind)  # what went before is another test's
    set_theme(browser, theme)
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600},
    )
    browser.get(path.as_uri())
    wait_drawn(browser, theme)


def set_theme(browser: webdriver.Chrome, theme: str) -> None:
    browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia",
        {"features": [{"name": "prefers-color-scheme", "value": theme}]},
    )


def wait_drawn(browser: webdriver.Chrome, theme: str) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if browser.execute_script("return document.documentElement.dataset.drawn") == theme:
            return
        time.sleep(0.05)
    raise AssertionError(f"the plots were not drawn: {browser.get_log('browser')}")


def screenshot(browser: webdriver.Chrome, name: str) -> Path:
    """The whole page as a picture, kept for a person to look at."""
    size = browser.execute_script(
        "const e = document.documentElement; return [e.clientWidth, e.scrollHeight]"
    )
    clip = {"x": 0, "y": 0, "width": size[0], "height": size[1], "scale": 1}
    taken = browser.execute_cdp_cmd(
        "Page.captureScreenshot", {"captureBeyondViewport": True, "clip": clip}
    )
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    path = SCREENSHOTS / f"{name}.png"
    path.write_bytes(base64.b64decode(taken["data"]))
    return path


def texts(browser: webdriver.Chrome, selector: str) -> list[str]:
    found = browser.find_elements(By.CSS_SELECTOR, selector)
    return [one.get_attribute("textContent") or "" for one in found]


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_it_is_drawn_without_an_error_and_fits(
    browser: webdriver.Chrome, page: Path, theme: str, width: int
) -> None:
    opened(browser, page, theme=theme, width=width)
    charts = browser.find_elements(By.CSS_SELECTOR, ".chart")
    assert len(charts) == 8
    for chart in charts:
        picture = chart.find_element(By.CSS_SELECTOR, "svg")
        assert 0.8 * chart.size["width"] < picture.size["width"] <= chart.size["width"]
    inner = "return [document.documentElement.scrollWidth, innerWidth]"
    scrolled, visible = browser.execute_script(inner)
    assert scrolled <= visible
    shot = Image.open(screenshot(browser, f"report-{theme}-{width}")).convert("L")
    corner = shot.getpixel((2, 2))
    assert isinstance(corner, int)
    assert corner < 64 if theme == "dark" else corner > 192
    assert browser.get_log("browser") == []


@pytest.fixture(scope="module")
def compared_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of two servers at two batch sizes."""
    folder = tmp_path_factory.mktemp("compared")
    for place, name in enumerate(("ours", EVIL_NAME)):
        for workers, batch_size in ((1, 1), (4, 1), (1, 8), (4, 8)):
            use = {"period_s": 20.0, "process_cpu_user_s": 30.0, "process_rss_bytes": 99 << 20}
            our_result(
                workers=workers, batch_size=batch_size, autobatching=-place, name=name,
                rate=50.0 * workers - 5 * place, periods={"overall": use},
            ).save(folder / "results" / f"{place}_{workers}_{batch_size}.json")  # fmt: skip
    assert in_process(folder, "report", "results", "--out", "report.html").returncode == 0
    return folder / "report.html"


@pytest.mark.parametrize(("theme", "width"), [("light", 1280), ("dark", 390)])
def test_servers_are_side_by_side(
    browser: webdriver.Chrome, compared_page: Path, theme: str, width: int
) -> None:
    opened(browser, compared_page, theme=theme, width=width)
    assert "Servers side by side" in texts(browser, "h2")
    bars = "#servers-throughput .mark-rect path"
    assert len(browser.find_elements(By.CSS_SELECTOR, bars)) == 4  # two servers, two of workers
    choice = Select(browser.find_element(By.CSS_SELECTOR, "select[data-choice=setting]"))
    assert [one.text for one in choice.options] == ["tensor batch 1", "tensor batch 8"]
    heads = texts(browser, "#cells th")
    row = texts(browser, "#cells tbody tr:first-child td")
    shown = dict(zip(heads, row, strict=True))
    assert (shown["Server"], shown["CPU (cores)"], shown["Memory (MiB)"]) == (
        EVIL_NAME, "1.500", "99.000",
    )  # fmt: skip
    inner = "return [document.documentElement.scrollWidth, innerWidth]"
    scrolled, visible = browser.execute_script(inner)
    assert scrolled <= visible
    screenshot(browser, f"servers-{theme}-{width}")
    assert browser.get_log("browser") == []


def test_nothing_is_fetched(browser: webdriver.Chrome, page: Path) -> None:
    opened(browser, page)
    asked = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    urls = [
        event["params"]["request"]["url"]
        for event in asked
        if event["method"] == "Network.requestWillBeSent"
    ]
    assert [url for url in urls if not url.startswith("data:")] == [page.as_uri()]


def test_the_figures_are_the_results(browser: webdriver.Chrome, page: Path) -> None:
    opened(browser, page)
    results = [json.loads(p.read_text()) for p in sorted(page.parents[1].glob("results/JSON*"))]
    rows = browser.find_elements(By.CSS_SELECTOR, "#cells tbody tr")
    shown = {}
    for row in rows:
        values = [cell.text.replace(",", "") for cell in row.find_elements(By.TAG_NAME, "td")]
        shown[tuple(map(int, values[:3]))] = values[3:]
    assert len(shown) == 9
    for first, second in zip(results[::2], results[1::2], strict=True):
        cell = (first["Workers"], first["MetadataAutobatching"], first["TensorBatchSize"])
        pair = (first, second)
        rates = [one["OverallRates"]["overallOpsRate"] for one in pair]
        told = [one["OverallQuantiles"]["AllQueries"] for one in pair]
        assert (told[0]["q99"] is None) == (first["Requests"] < 100)  # so few tell no p99
        quantiles = [
            None if told[0][name] is None else sum(one[name] for one in told) / 2
            for name in ("q50", "q95", "q99")
        ]
        figures = [
            "n/a" if value is None else f"{value:.3f}"
            for value in (sum(rates) / 2, *quantiles, min(rates), max(rates))
        ]
        assert shown[cell][:6] == figures
        assert shown[cell][6] == "2"
    assert shown[1, 8, 1][7] == "5"


def test_the_heat_map_shows_each_cells_rate(browser: webdriver.Chrome, page: Path) -> None:
    opened(browser, page)
    drawn = texts(browser, "#heatmap-auto-batching svg .mark-text.role-mark text")
    table = [row.split() for row in texts_of_rows(browser)]
    rates = {f"{float(row[3]):.1f}" for row in table if row[2] == "1"}
    assert len(drawn) == 6
    assert set(drawn) == rates


def texts_of_rows(browser: webdriver.Chrome) -> list[str]:
    return [row.text for row in browser.find_elements(By.CSS_SELECTOR, "#cells tbody tr")]


def test_a_choice_changes_its_plots(browser: webdriver.Chrome, page: Path) -> None:
    opened(browser, page)
    percentiles, over_time = "#latency-percentiles", "#throughput-over-time"

    def lines(chart: str) -> list[str | None]:
        marks = browser.find_elements(By.CSS_SELECTOR, f"{chart} svg .mark-line path")
        return [mark.get_attribute("d") for mark in marks]

    before = lines(percentiles), lines(over_time)
    assert len(before[0]) == 3  # one for each number of workers
    chooser = Select(browser.find_element(By.CSS_SELECTOR, "select[data-choice=variant]"))
    chooser.select_by_visible_text("auto-batching 0, tensor batch 10")
    wait_until(lambda: lines(percentiles) != before[0])
    assert lines(over_time) == before[1]
    chooser = Select(browser.find_element(By.CSS_SELECTOR, "select[data-choice=cell]"))
    chooser.select_by_visible_text("1 worker, auto-batching 8, tensor batch 1")
    wait_until(lambda: lines(over_time) != before[1])


def wait_until(holds: Any) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_burn_in_and_failures_are_marked(browser: webdriver.Chrome, page: Path) -> None:
    opened(browser, page)
    chooser = Select(browser.find_element(By.CSS_SELECTOR, "select[data-choice=cell]"))
    chooser.select_by_visible_text("1 worker, auto-batching 8, tensor batch 1")

    def failures() -> list[str]:
        marks = browser.find_elements(
            By.CSS_SELECTOR, "#throughput-over-time svg .mark-symbol path[opacity='1']"
        )
        return [mark.get_attribute("aria-label") or "" for mark in marks]

    wait_until(lambda: any("failed requests: 5" in label for label in failures()))
    (shade,) = browser.find_elements(By.CSS_SELECTOR, "#throughput-over-time svg .mark-rect path")
    plot = browser.find_element(By.CSS_SELECTOR, "#throughput-over-time svg")
    share = shade.size["width"] / plot.size["width"]
    assert 0.1 < share < 0.25  # 4 of 20 seconds


def test_a_change_of_theme_draws_again(browser: webdriver.Chrome, page: Path) -> None:
    opened(browser, page, theme="light")
    label = "#server-cpu svg .role-axis-label text"
    light = browser.find_element(By.CSS_SELECTOR, label).get_attribute("fill")
    set_theme(browser, "dark")
    wait_drawn(browser, "dark")
    assert browser.find_element(By.CSS_SELECTOR, label).get_attribute("fill") != light
    assert len(browser.find_elements(By.CSS_SELECTOR, "#server-cpu svg")) == 1


def test_what_makes_the_figures_doubtful_is_shown_as_text(
    browser: webdriver.Chrome, page: Path
) -> None:
    opened(browser, page)
    doubts = browser.find_element(By.CSS_SELECTOR, ".doubts").text
    assert f"JSON_03.json: 5 error_reply, first: {EVIL}" in doubts
    assert "half.json: not complete JSON" in doubts
    assert browser.title == "Benchmark report: results"


def test_set_up_and_commands_are_there(browser: webdriver.Chrome, page: Path) -> None:
    opened(browser, page)
    body = browser.find_element(By.TAG_NAME, "body").text
    for words in ("bench-1", "A <fast> CPU", "12ab" * 16, "aibench-fast embedded server"):
        assert words in body
    commands = browser.find_element(By.CSS_SELECTOR, "pre").text.splitlines()
    assert commands == [
        f"aibench-fast run --file 'my file.out' --workers {workers}" for workers in (1, 4, 8)
    ]


def test_the_go_tools_results_have_a_report(
    browser: webdriver.Chrome, cli: Cli, tmp_path: Path
) -> None:
    for workers in (1, 2):
        write(tmp_path / "results", f"{workers}.json", go_document(workers, 0, 1, 50.0, 20.0))
    done = cli("report", "results", "--out", "report.html")
    assert (done.returncode, done.stdout, done.stderr) == (0, "report.html\n", "")
    opened(browser, tmp_path / "report.html")
    ids = [one.get_attribute("id") for one in browser.find_elements(By.CSS_SELECTOR, ".chart")]
    assert ids == ["throughput-auto-batching", "latency-percentiles"]
    assert browser.get_log("browser") == []


def test_one_run_without_a_burn_in_has_a_report(
    browser: webdriver.Chrome, cli: Cli, tmp_path: Path
) -> None:
    our_result(burn_in_s=0).save(tmp_path / "r.json")
    assert cli("report", "r.json", "--out", "report.html").returncode == 0
    opened(browser, tmp_path / "report.html")
    shown = [one.get_attribute("id") for one in browser.find_elements(By.CSS_SELECTOR, ".chart")]
    # A chart of throughput against workers would have one dot.
    assert shown == ["latency-percentiles", "throughput-over-time", "latency-over-time"]
    assert len(browser.find_elements(By.CSS_SELECTOR, ".chart svg")) == 3
    assert browser.find_elements(By.CSS_SELECTOR, "select") == []
    # A legend of one series says nothing.
    legends = "#latency-percentiles svg .role-legend, #throughput-over-time svg .role-legend"
    assert browser.find_elements(By.CSS_SELECTOR, legends) == []
    assert "not told" not in browser.find_element(By.TAG_NAME, "body").text
    assert browser.get_log("browser") == []


@pytest.mark.parametrize("width", [1280, 390])
def test_a_searchs_answer_heads_its_report_and_its_target_is_a_line(
    browser: webdriver.Chrome, cli: Cli, tmp_path: Path, width: int
) -> None:
    searched(tmp_path / "search", ["p95<=40ms", "errors<=1%"], [1, 2, 3], fails_at=4.0)
    assert cli("report", "search", "--out", "report.html").returncode == 0
    opened(browser, tmp_path / "report.html", width=width)
    names, values = texts(browser, ".figure .name"), texts(browser, ".figure .value")
    assert names == [
        "Highest workers within the target", "Throughput", "p50", "p99", "Failed requests",
    ]  # fmt: skip
    assert values[:2] == ["3 workers", "53.0 inferences/s"]
    (of,) = texts(browser, ".answer .of")
    assert of == "p95<=40ms and errors<=1% holds; not at 4"
    marks = browser.find_elements(By.CSS_SELECTOR, "#search-1 svg .mark-rule line")
    labels = [mark.get_attribute("aria-label") or "" for mark in marks]
    assert "ms: 40; the target: p95<=40ms" in labels
    assert "p95<=40ms" in texts(browser, "#search-1 svg text")
    assert "p95" in texts(browser, "#search-1 svg .role-legend text")
    assert "Auto-batching" not in texts(browser, "#cells th")  # which no result tells
    doubts = texts(browser, ".doubts li")
    merged = "the server shares 2 cores (5 runs, with other figures too)"
    assert doubts.count(merged) == 1
    assert sum("the server shares" in one for one in doubts) == 1
    assert cut_off(browser) == []
    cards = [card.rect for card in browser.find_elements(By.CSS_SELECTOR, ".figure")]
    if width == 1280:  # side by side, none wider than the others
        assert {card["y"] for card in cards} == {cards[0]["y"]}
    screenshot(browser, f"search-{width}")
    assert browser.get_log("browser") == []


def cut_off(browser: webdriver.Chrome) -> list[str]:
    """Name each box that does not show all that is in it, and each text that leaves its plot."""
    found: list[str] = browser.execute_script("""
        const boxes = [...document.querySelectorAll("body *")].filter((one) =>
          !one.closest("svg") && one.clientWidth > 0 && one.scrollWidth > one.clientWidth + 1
          && getComputedStyle(one).display !== "inline");
        const letters = [...document.querySelectorAll(".chart")].flatMap((chart) => {
          const box = chart.getBoundingClientRect();
          return [...chart.querySelectorAll("svg text")].filter((text) => {
            const own = text.getBoundingClientRect();
            return own.width && (own.right > box.right + 1 || own.left < box.left - 1);
          });
        });
        return [...boxes, ...letters].map((one) => `${one.tagName} ${one.textContent}`);
    """)
    return found


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_nothing_is_cut_off_on_a_telephone(
    browser: webdriver.Chrome, page: Path, compared_page: Path, theme: str
) -> None:
    for one in (page, compared_page):
        opened(browser, one, theme=theme, width=390)
        assert cut_off(browser) == []
        heads = "return getComputedStyle(document.querySelector('#cells td'), '::before').content"
        assert browser.execute_script(heads) in ('"Workers"', '"Server"')


def test_runs_at_a_limited_rate_have_a_report_of_their_own_kind(
    browser: webdriver.Chrome, cli: Cli, tmp_path: Path
) -> None:
    our_result().save(tmp_path / "results" / "free.json")
    limited = our_result(limit_rps=12.5, late_starts=400)
    dataclasses.replace(limited, service_latencies=limited.latencies).save(
        tmp_path / "results" / "limited.json"
    )
    assert cli("report", "results", "--out", "report.html").returncode == 0
    opened(browser, tmp_path / "report.html")
    headings = texts(browser, "figcaption h3")
    assert "Throughput against workers, limited to 12.5 requests/s" in headings
    assert "12.5" in texts(browser, "#cells tbody td")
    doubts = browser.find_element(By.CSS_SELECTOR, ".doubts").text
    assert "limited.json: 25.0% of 1,600" in doubts
    assert browser.get_log("browser") == []


@pytest.fixture(scope="module")
def page_of_both(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of results of tensors and of streams of tokens."""
    folder = tmp_path_factory.mktemp("both")
    for workers in (4, 16):
        our_result(workers=workers, rate=25.0 * workers).save(folder / f"r/tensors_{workers}.json")
        result = token_result(workers=workers, ttft_ms=10.0 * workers, gap_ms=10.0 + workers)
        intervals = [
            dataclasses.replace(one, chunks=80 * workers * number)
            for number, one in enumerate(result.intervals, 1)
        ]
        changed(result, intervals=intervals).save(folder / f"r/tokens_{workers}.json")
    assert in_process(folder, "report", "r", "--out", "report.html").returncode == 0
    return folder / "report.html"


@pytest.mark.parametrize(("theme", "width"), [("light", 1280), ("dark", 390)])
def test_tokens_are_beside_tensors(
    browser: webdriver.Chrome, page_of_both: Path, theme: str, width: int
) -> None:
    opened(browser, page_of_both, theme=theme, width=width)
    assert browser.get_log("browser") == []
    headings = texts(browser, "h2")
    for heading in ("Streams of tokens", "Times of streams of tokens", "Throughput"):
        assert heading in headings
    points = "#streams-ttft-workers .mark-symbol path"
    assert len(browser.find_elements(By.CSS_SELECTOR, points)) >= 4  # p50 and p99 of two loads
    curves = "#streams-tpot-percentiles .mark-line path"
    assert len(browser.find_elements(By.CSS_SELECTOR, curves)) == 2
    heads = texts(browser, "#cells th")
    rows = browser.find_elements(By.CSS_SELECTOR, "#cells tbody tr")
    cells = [
        dict(
            zip(
                heads,
                (
                    one.get_attribute("textContent")
                    for one in row.find_elements(By.CSS_SELECTOR, "td")
                ),
                strict=True,
            )
        )
        for row in rows
    ]
    by_kind = {cell["Tensor batch"]: cell["ttft.p50 (ms)"] for cell in cells}
    assert by_kind["1"] == ""
    assert float(str(by_kind[""])) > 100
    inner = "return [document.documentElement.scrollWidth, innerWidth]"
    scrolled, visible = browser.execute_script(inner)
    assert scrolled <= visible
    screenshot(browser, f"tokens-{theme}-{width}")
