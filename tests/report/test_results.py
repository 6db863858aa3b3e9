"""Reading result files: old ones, the Go tool's, many, and broken ones."""

import dataclasses
import gc
import json
import time
from pathlib import Path

import jsonschema
import pytest
from commandline import Cli
from fake_redisai import OK, FakeRedisAI
from redisclient import load_into
from resultfiles import go_document, latencies, our_result, result_name, write
from smallruns import against

from aibench_fast.errors import ConfigError
from aibench_fast.models.load import Backend, ModelSpec
from aibench_fast.report.content import facts
from aibench_fast.results.details import read_details
from aibench_fast.results.figures import KindFigures
from aibench_fast.results.files import read_record
from aibench_fast.results.folder import load
from aibench_fast.results.record import Cell
from aibench_fast.server import EmbeddedServer

GOLDEN = Path(__file__).parents[1] / "golden"
RESULTS = GOLDEN / "results"
SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "result.schema.json").read_text())


def test_a_result_of_version_1_0_still_loads() -> None:
    record = read_record(RESULTS / "ours_1.0.json")
    assert record.cell == Cell(workers=4, autobatching=0, batch_size=1, max_rps=0)
    assert record.client == "aibench-fast"
    assert record.inferences_per_s == pytest.approx(50.0)
    assert record.quantiles_ms["q50"] == pytest.approx(20.0, rel=0.1)
    assert record.failures == {"error_reply": (2, "ERR <no> such & such")}
    assert record.server.kind == "aibench-fast embedded server"
    details = read_details(record.path)
    assert record.latencies().count == 200
    assert [point.measured for point in details.timeline] == [False] * 2 + [True] * 4
    assert details.server_stats["AI.INFO"]["calls"] == 3


def test_a_result_of_version_1_1_still_loads() -> None:
    record = read_record(RESULTS / "ours_1.1.json")
    assert record.cell == Cell(workers=4, autobatching=0, batch_size=1, max_rps=12.5)
    assert (record.latency, record.late_starts) == ("response", 7)
    assert record.facts["Host"] == "bench-1"
    timeline = read_details(record.path).timeline
    assert [point.failed for point in timeline] == [0, 0, 2, 0, 0, 0]
    assert [len(point.quantiles_ms) for point in timeline] == [0, 0, 5, 5, 5, 5]


def test_a_result_of_version_1_2_tells_its_tensors() -> None:
    record = read_record(RESULTS / "ours_1.2.json")
    assert (record.tensor, record.data_file, record.data_seed) == ("16 INT64", None, 7)
    assert facts([record])["Tensors"] == ["generated from seed 7"]


@pytest.mark.parametrize("name", ["ours_1.0.json", "ours_1.1.json", "go_workers_1.json"])
def test_older_results_are_of_photographs(name: str) -> None:
    record = read_record(RESULTS / name)
    assert (record.tensor, record.data_seed) == ("224 x 224 x 3 FLOAT", None)


def test_a_result_of_the_go_tool_loads_with_its_histogram() -> None:
    record = read_record(RESULTS / "go_workers_2_batch_10.json")
    assert record.cell == Cell(workers=2, autobatching=0, batch_size=10, max_rps=0)
    assert (record.client, record.server, record.facts) == ("aibench", None, {})
    assert record.inferences_per_s == pytest.approx(231.42, 1e-4)
    assert record.quantiles_ms["q50"] == 82.303
    assert record.start_unix_ms == 1_795_512_810_000
    assert (record.requests, record.threads, record.verdict) == (None, None, None)
    details = read_details(record.path)
    assert record.latencies().quantiles_ms([0.5])[0] == pytest.approx(82.3, 1e-3)
    assert details.server_value("used_memory_human") == "68.49M"


def test_the_periods_of_a_result_of_the_go_tool_are_its_timeline() -> None:
    timeline = read_details(RESULTS / "go_workers_1.json").timeline
    assert [point.measured for point in timeline] == [False, True, True]
    assert [round(point.rate, 1) for point in timeline] == [119.3, 171.3, 169.5]
    assert timeline[0].unix_ms == 1_795_512_807_906
    assert timeline[1].quantiles_ms["q50"] == 5.751


def test_the_keys_count_and_not_the_name(tmp_path: Path) -> None:
    path = write(tmp_path, result_name("", (1, 0, 1)), go_document(7, 8, 9, 1.0, 1.0))
    assert read_record(path).cell == Cell(7, 8, 9, 0)


def test_failures_are_told_by_period(tmp_path: Path) -> None:
    result = our_result(failures=5, seconds=8)
    result.save(tmp_path / "r.json")
    failed = [point.failed for point in read_details(tmp_path / "r.json").timeline]
    assert failed == [0, 0, 0, 5, 0, 0, 0, 0]


BROKEN = {
    "empty.json": ("", "it is empty"),
    "half.json": (json.dumps(go_document(1, 0, 1, 1.0, 1.0))[:200], "not complete JSON"),
    "list.json": ("[]", "not a result: a JSON object is expected"),
    "other.json": ('{"name": "package"}', "not a result: OverallQuantiles is missing"),
    "binary.json": ("\x00\xff", "not complete JSON"),
    "nan.json": (
        json.dumps(go_document(1, 0, 1, float("nan"), 1.0)),
        "not a result: overallOpsRate is nan, a number is expected",
    ),
    "nothing.json": (
        json.dumps(go_document(1, 0, 1, 0.0, 0.0)),
        "it measured nothing: no request succeeded after the warm-up",
    ),
    "future.json": (
        json.dumps({"ResultFormatVersion": "2.0"}),
        "result format 2.0, this program reads up to 1.x: update it",
    ),
    "odd.json": (
        json.dumps(go_document(1, 0, 1, 1.0, 1.0) | {"Server": {"Kind": "RedisAI"}}),
        "not a result: Version is missing",
    ),
    "no-server.json": (
        json.dumps(go_document(1, 0, 1, 1.0, 1.0) | {"Server": {}}),
        "not a result: Kind is missing",
    ),
    "nanoseconds.json": (
        json.dumps(go_document(1, 0, 1, 1.0, 1.0) | {"StartTime": 1_596_741_778_490_000_000}),
        "not a result: StartTime is 1596741778490000000",
    ),
    "percentiles.json": (
        json.dumps(go_document(1, 0, 1, 1.0, 1.0) | {"Stream": {"ChunkGap": {"mean": 1.0}}}),
        "not a result: q0 is missing",
    ),
    "tokens.json": (
        json.dumps(go_document(1, 0, 1, 1.0, 1.0) | {"Stream": {"OutputTokensPerSecond": "many"}}),
        "not a result: a value is of another type than expected",
    ),
    "search.json": (
        json.dumps({"Search": {"Slo": ["p99<=5ms"], "Over": "rate", "Steps": []}}),
        "not a result: a search has steps, over one of rate, workers, batch-size, pipeline",
    ),
    "moon.json": (
        json.dumps(
            {
                "Search": {
                    "Slo": ["p99<=5ms"],
                    "Over": "moon",
                    "Steps": [{"Value": 1, "Held": True, "Result": "half.json"}],
                }
            }
        ),
        "not a result: a search has steps, over one of rate, workers, batch-size, pipeline",
    ),
}


def test_each_broken_file_is_named_and_the_others_are_tabulated(cli: Cli, go_results: Path) -> None:
    for name, (text, _) in BROKEN.items():
        (go_results / name).write_text(text, encoding="latin-1")
    (go_results / "RAW_redisai_cpu.txt").write_text("no result")
    done = cli("tables", "--dir", go_results, code=0)
    assert done.stdout == (GOLDEN / "tables.txt").read_text()
    lines = done.stderr.splitlines()
    assert len(lines) == len(BROKEN)
    for line, (name, (_, reason)) in zip(lines, sorted(BROKEN.items()), strict=True):
        assert line.startswith(f"aibench-fast: skipped {go_results / name}: {reason}")


def test_a_folder_without_a_result_is_one_line(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "empty.json").touch()
    done = cli("tables", "--dir", tmp_path, "--prefix", "em")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "no result (.json) whose name begins with em" in done.stderr
    assert "empty.json: it is empty" in done.stderr


def test_a_missing_folder_is_one_line(cli: Cli, tmp_path: Path) -> None:
    done = cli("tables", "--dir", tmp_path / "none", code=2, errors=1)
    assert "there is no file or folder" in done.stderr


def test_doubtful_results_are_named(cli: Cli, tmp_path: Path) -> None:
    our_result(interrupted=True, failures=3).save(tmp_path / "r.json")
    done = cli("tables", "--dir", ".")
    assert done.stderr.splitlines() == [
        "aibench-fast: r.json was interrupted: its figures cover the part that was measured",
        "aibench-fast: r.json has 3 failed requests, excluded from latencies",
    ]


def test_unlike_runs_in_one_cell_are_told(cli: Cli, go_results: Path, tmp_path: Path) -> None:
    our_result(workers=10).save(go_results / "ours.json")
    done = cli("tables", "--dir", go_results)
    assert done.stderr == (
        "aibench-fast: different runs are summarized together: client is aibench or aibench-fast; "
        "separate them by --prefix or folder\n"
    )


def test_an_unreadable_histogram_is_told(tmp_path: Path) -> None:
    document = our_result().to_json()
    document["OverallQuantiles"]["EncodedHistogram"] = "HISTFbroken"
    with pytest.raises(ConfigError, match="is not an encoded HdrHistogram"):
        read_record(write(tmp_path, "r.json", document)).latencies()


def test_a_thousand_results_cost_little_more_than_parsing_them(tmp_path: Path) -> None:
    """Seconds would say as much about the machine as about the program."""
    text = json.dumps(our_result(seconds=60).to_json(), indent=2)
    paths = [tmp_path / f"{number:04}.json" for number in range(1000)]
    for path in paths:
        path.write_text(text)
    gc.freeze()  # what the tests before it left is not gone through meanwhile
    started = time.process_time()
    for path in paths:
        json.loads(path.read_bytes())
    parsed = time.process_time()
    assert len(load([tmp_path]).records) == 1000
    ended = time.process_time()
    gc.unfreeze()
    assert ended - parsed < 3 * (parsed - started)


def test_the_schema_describes_what_a_run_saves(tensor_file: Path) -> None:
    with EmbeddedServer(password=None) as server:
        load_into(server.address, ModelSpec(name="null", backend=Backend.NULL))
        result = against(server, tensor_file, model="null", max_queries=200)
    document = result.to_json()
    jsonschema.validate(document, SCHEMA)
    assert document.keys() <= SCHEMA["properties"].keys()
    facts, period = (SCHEMA["$defs"][name]["properties"].keys() for name in ("Facts", "Interval"))
    assert document["Facts"].keys() <= facts
    assert all(one.keys() <= period for one in document["ClientRunTimeStats"].values())


def test_the_schema_holds_for_failures_and_older_versions() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    for name in ("ours_1.0.json", "ours_1.1.json", "ours_1.2.json", "ours_1.9.json"):
        jsonschema.validate(json.loads((RESULTS / name).read_text()), SCHEMA)
    interrupted = dataclasses.replace(our_result(failures=3), interrupted=True)
    jsonschema.validate(interrupted.to_json(), SCHEMA)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(interrupted.to_json() | {"Workers": 0}, SCHEMA)


NAMES = ("q0", "q50", "q95", "q99", "q999", "q100")


@pytest.mark.parametrize(
    ("successes", "unknown"),
    [
        (0, NAMES),
        (1, ("q95", "q99", "q999")),
        (20, ("q99", "q999")),
        (99, ("q99", "q999")),
        (100, ("q999",)),
        (1000, ()),
    ],
)
def test_a_percentile_that_so_few_do_not_tell_is_null(
    tmp_path: Path, successes: int, unknown: tuple[str, ...]
) -> None:
    measured = latencies(*[5.0] * successes)
    kind = KindFigures(
        name="m", tensors="16 FLOAT", batch_size=1, weight=1.0, successes=successes,
        inferences=successes, failures={}, shed=0, late_starts=0, latencies=measured,
        service_latencies=measured,
    )  # fmt: skip
    result = our_result(
        latencies=measured, service_latencies=measured, reply_waits=measured, kinds=[kind],
        successes=successes, inferences=successes,
    )  # fmt: skip
    document = result.to_json()
    jsonschema.validate(document, SCHEMA)
    of_kind = document["Kinds"][0]
    for quantiles in (
        document["OverallQuantiles"], document["ServiceQuantiles"],
        of_kind["Quantiles"], of_kind["ServiceQuantiles"],
    ):  # fmt: skip
        told = quantiles["AllQueries"]
        assert tuple(told) == NAMES
        assert tuple(name for name in NAMES if told[name] is None) == unknown
    if successes:
        assert (document["ReplyWait"]["q99"] is None) == (successes < 100)
        record = read_record(write(tmp_path, "r.json", document))
        assert tuple(name for name in NAMES if record.quantile_ms(name) is None) == unknown
        (part,) = read_details(record.path).parts
        assert (part.q99_ms is None) == (successes < 100)
    else:
        with pytest.raises(ConfigError, match="it measured nothing"):
            read_record(write(tmp_path, "r.json", document))


def test_before_format_1_9_few_had_numbers_that_tell_nothing(cli: Cli, tmp_path: Path) -> None:
    document = our_result(rate=5.0).to_json() | {"ResultFormatVersion": "1.8"}
    assert document["Successes"] == 80
    document["OverallQuantiles"]["AllQueries"] = dict.fromkeys(NAMES, 5.0)
    write(tmp_path, "r.json", document)
    done = cli("export", "r.json", "--format", "csv")
    header, values = (line.split(",") for line in done.stdout.splitlines())
    row = dict(zip(header, values, strict=True))
    assert [row[f"{name}_ms"] for name in NAMES] == ["5.0", "5.0", "5.0", "", "", "5.0"]


def test_a_run_without_a_success_tells_no_latency(cli: Cli, tmp_path: Path) -> None:
    """The trial is answered, and no request of the run."""
    ran = iter(range(1000))
    answer = lambda *_: OK if next(ran) == 0 else b"-ERR no\r\n"  # noqa: E731
    with FakeRedisAI(AI_MODELRUN=answer, AI_DAGRUN=answer) as server:
        done = cli(
            "run", "--port", server.port, "--shape", 16, "--max-queries", 20, "--burn-in", 0,
            "--json-out-file", "r.json", "--reporting-period", "10ms", code=1,
        )  # fmt: skip
    (line,) = {line for line in done.stdout.splitlines() if line.startswith("\tmin:")}
    assert line.count("not known") == 8
    assert " 0.00" not in line
    document = json.loads((tmp_path / "r.json").read_text())
    jsonschema.validate(document, SCHEMA)
    assert document["OverallQuantiles"]["AllQueries"] == dict.fromkeys(NAMES)
    for period in document["ClientRunTimeStats"].values():
        assert (period["overallRate"], period["q50"], period["q99"]) == (0, None, None)
    done = cli("report", "r.json", "--out", "page.html", code=2, errors=1)
    assert "it measured nothing" in done.stderr


def test_of_many_refused_files_the_first_is_told_and_all_with_debug(
    cli: Cli, tmp_path: Path
) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(60):
        (folder / f"{number:02}.json").write_text("{}")
    done = cli("tables", "--dir", folder, code=2, errors=1)
    assert "00.json: " in done.stderr
    assert "and 59 more, which --debug names" in done.stderr
    assert len(done.stderr) < 500
    told = cli("tables", "--dir", folder, "--debug").stderr
    assert all(f"{number:02}.json" in told for number in range(60))
