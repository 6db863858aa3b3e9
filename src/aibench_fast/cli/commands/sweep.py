"""`aibench-fast sweep`."""

import argparse
import shlex
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from aibench_fast.cli.ending import EXIT_FAILURES, EXIT_INTERRUPTED
from aibench_fast.cli.events import print_notice, printed, write_junit
from aibench_fast.cli.options import runs
from aibench_fast.cli.options.gridfile import read_grid_file, swept_servers
from aibench_fast.cli.options.parser import add_all, axis, by_name, number_ranges, rates
from aibench_fast.cli.options.server import add_server_options
from aibench_fast.cli.output import note, with_options
from aibench_fast.files import check_outputs
from aibench_fast.load.config import RunConfig
from aibench_fast.report import text
from aibench_fast.results.result import MAX_NOT_SENT, Result
from aibench_fast.results.streamnames import stream_words
from aibench_fast.studies import events
from aibench_fast.studies.events import StudyEvent, StudyObserver
from aibench_fast.studies.grid import Grid, raw_file
from aibench_fast.studies.progress import progress_bar
from aibench_fast.studies.runs import check_run, source
from aibench_fast.studies.servers import Server
from aibench_fast.studies.sweep import Order, Plan, Sweep
from aibench_fast.studies.thresholds import expectations

EXAMPLE = (
    "aibench-fast sweep --file /tmp/bulk_data/vision_tensors.out --workers 0:50:10 "
    "--autobatching 0:50:10 --runs 3 --burn-in 100 --max-queries 5000"
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    add_server_options(parser, any_protocol=True, cluster=True)
    of_grid = {f"{name} N|LOW-HIGH,...": text for name, text in runs.LENGTHS.items()}
    add_all(
        parser.add_argument_group(
            "Grid", "Write numbers as 1,8,16 or MIN:MAX:STEP; 0:50:10 is 1,10,20,30,40,50."
        ),
        {
            "--grid FILE": "read options from a TOML file, by their names; typed options take "
            "precedence. [[server]] tables compare servers: name, model, and url, host, port, "
            "socket or embedded",
            "--workers N,...": "use so many workers, each on its own connection (default: 1)",
            "--autobatching N,...": "store the model again with each batch size, and at the end "
            "with its own (default: do not change it)",
            "--batch-size B,...": "send B tensors per request (default: 1)",
            "--limit-rps N,...": "send N requests per second from all workers (default: 0, no "
            "limit)",
            **of_grid,
            "--runs N": "run each combination N times (default: 1)",
        },
        Grid,
        workers={"type": axis(1)},
        autobatching={"type": axis(0)},
        batch_size={"type": axis(1)},
        limit_rps={"type": rates},
        prompt_tokens={"type": number_ranges},
        output_tokens={"type": number_ranges},
    )
    runs.add_request_options(parser, in_grid=True)
    runs.add_load_options(load := parser.add_argument_group("Load"))
    runs.add_slo_option(parser)
    add_all(load, {"--burn-in-images N": "warm up with N tensors: as many requests as hold them"})
    runs.add_reporting_options(parser)
    add_all(
        parser.add_argument_group("Sweep"),
        {
            "--results-dir FOLDER": "write JSON_... and RAW_... files here (default: results)",
            "--suffix TEXT": "put this into the file names, such as v1.2_",
            "--device": "put this device into the file names (default: cpu)",
            "--shuffle SEED": "run the cells in random order (default: in order)",
            "--sleep TIME": "pause between two runs (default: do not)",
            "--keep-going": "continue after a failed run, and without a server that cannot be "
            "reached (default: stop)",
            "--allow-flush": "empty the whole server before each run and store the model again",
            "--dry-run": "print the runs without making them",
            "--quiet": "print no progress and no lines",
        },
        Order,
        results_dir={"dest": "folder", "default": Path("results")},
        device={"type": str.lower, "choices": ["cpu", "gpu"]},
        shuffle={"type": int, "nargs": "?", "const": 1},
        sleep={"dest": "pause_s"},
    )
    parser.set_defaults(handler=partial(_sweep, parser))


def _sweep(parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    tables: Any = []
    if options.grid is not None:
        values, tables = read_grid_file(options.grid, parser)
        command_line = options.command_line
        parser.set_defaults(**values, command_line=command_line)
        options = parser.parse_args(shlex.split(command_line)[2:])  # what is typed wins
    servers, reads = [], [("--grid", options.grid)]
    for name, one in swept_servers(options, tables).items():
        config = _common_config(one)
        servers.append(Server(config=config, name=name, embedded=one.embedded))
        reads += runs.files_read(one, config)
    expected = expectations(options.expect, *(one.config for one in servers))
    reads = [*dict.fromkeys(reads)]
    # Before a server is asked, and again when the model's batch size says how results are called.
    check_outputs([("--junit", options.junit)], reads)
    with progress_bar(quiet=options.quiet) as bar, ExitStack() as raw:
        plan = Plan(
            servers,
            by_name(Grid, options),
            by_name(Order, options),
            _Lines(bar, raw, options.quiet),
            check=partial(check_run, over_dask=options.dask is not None, clients=options.clients),
            dry=options.dry_run,
        )
        if options.dry_run:
            return _print_plan(plan, options)
        check_outputs([("--junit", options.junit), *plan.files_written()], reads)
        with runs.dask_client(options) as client:
            made = plan.carry_out(source(client, options.clients), expected)
    cases = [(str(one.cell), one.result) for one in made.runs if one.result is not None]
    write_junit(options.junit, cases)
    if made.interrupted:
        return EXIT_INTERRUPTED
    if made.failed or made.left_out:
        _print_failures(made, options)
        return EXIT_FAILURES
    return 0


def _common_config(options: argparse.Namespace) -> RunConfig:
    """Return the settings of one server's runs; those of the grid are the first cell's."""
    most_workers = max(options.workers)
    threads = options.threads and min(options.threads, most_workers)
    axes = ("batch_size", "limit_rps", "prompt_tokens", "output_tokens")
    first = {name: getattr(options, name)[0] for name in axes}
    return runs.run_config(options, workers=most_workers, threads=threads, **first)


def _print_plan(plan: Plan, options: argparse.Namespace) -> int:
    for run in plan.runs:
        state = "done" if run.file in plan.done else "run "
        print(f"{state} {run.cell.name(options.suffix, options.device)}")
    count, done = len(plan.runs), sum(run.file in plan.done for run in plan.runs)
    print(f"{count} runs: {done} done, {count - done} to do")
    return 0


def _print_failures(made: Sweep, options: argparse.Namespace) -> None:
    again = "them" if options.keep_going else "it"
    left = made.unmade
    note(
        f"{made.failed} of {len(made.files)} runs had failures or broke an --expect"
        f"{f', and {left} were not made' if left else ''}; see {options.folder}, "
        f"and type the command again to repeat {again}"
        f"{', or with --keep-going to make the others too' if left else ''}"
    )


@dataclass
class _Lines:
    """Shows a sweep: a line as each run ends, and on a terminal a bar with the time left.

    What a run would print is written to its RAW file.
    """

    _bar: StudyObserver
    _raw: ExitStack
    _quiet: bool
    _runs: int | None = None
    _ended: int = 0
    _write: Callable[[str], None] = field(init=False)

    def __call__(self, event: StudyEvent) -> None:
        self._bar(event)
        print_notice(event, quiet=self._quiet)
        match event:
            case events.Planned():
                self._runs, self._ended = event.runs, event.done
                if event.done:
                    self._print(f"{event.done} of {event.runs} runs are done already")
            case events.RunStarted(file=file) if file:
                self._write = self._raw.enter_context(printed(raw_file(file)))
            case events.RunFinished():
                self._write(text.format_summary(event.result))
                self._raw.close()
                if not (event.unsaved or event.result.interrupted):
                    self._print_ended(event.name, _outcome(event.result))
            case events.RunFailed():
                self._raw.close()
                self._print_ended(event.name, f"failed: {with_options(str(event.error))}")
            case _:
                if line := text.line_of(event):
                    self._write(line)

    def _print_ended(self, name: str, outcome: str) -> None:
        self._ended += 1
        self._print(f"{self._ended}/{self._runs} {name}: {outcome}")

    def _print(self, line: str) -> None:
        if not self._quiet:
            print(line, flush=True)


def _outcome(result: Result) -> str:
    (p50,) = result.latencies.known_quantiles_ms([0.5])
    failures = f", {result.failed} failures" if result.failed else ""
    if result.not_sent_share > MAX_NOT_SENT:
        failures += f", {result.not_sent_share:.1%} of the due requests were not sent"
    expected = "".join(f"\n    {one}" for one in result.expectations)
    shown = text.format_ms(p50, ".3f")
    streams = f", {stream_words(result.stream)}" if result.stream else ""
    return f"{result.inferences_per_s:.3f} inferences/s, p50 {shown}{streams}{failures}{expected}"
