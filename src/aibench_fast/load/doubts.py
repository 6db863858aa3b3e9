"""The warnings of a result: what makes a run's figures doubtful."""

from collections.abc import Iterator

from aibench_fast import _core
from aibench_fast.load.config import RunConfig
from aibench_fast.load.readings import Measurement
from aibench_fast.load.verdict import MUCH_OTHERS
from aibench_fast.load.watch import Watch
from aibench_fast.protocols.protocol import SIMULATED
from aibench_fast.results.result import MAX_NOT_SENT, MIN_FOR_P99, Result
from aibench_fast.results.significance import trend

MANY_CONNECTS = 0.1
"""The share of the workers' time above which connecting is a part of what is measured."""
MANY_WINDOW_WAITS = 0.1
"""The share of the latency above which flow control decides it."""


def warnings(run: Measurement, watch: Watch, result: Result) -> Iterator[tuple[str, str]]:
    """Yield all that a reader has to know before trusting the figures: kinds and messages."""
    config = run.config
    if not _core.IS_OPTIMISED:
        yield "debug_build", "this client was compiled without optimisation: no figure of it holds"
    if (tls := config.protocol.addresses[0].tls) and tls.insecure:
        yield "insecure", "--insecure: nobody checked which server answered"
    yield from doubts_of_figures(config, result)
    facts = result.facts
    things = facts.get("StringsAre", "tensors")
    if run.equal_tensors:
        yield "equal_tensors", f"all {things} are equal: caches make that faster than it will be"
    elif any(len(one) > 1 and len(set(one.values())) == 1 for one in watch.outputs):
        yield "equal_outputs", "the model answered different tensors alike: does it run at all?"
    for form, words in (("Json", "as JSON"), ("String", "as strings")):
        sent, given = facts.get(f"{form}Tensors", 0), facts.get(f"{form}TensorsGiven", 0)
        if sent < given:
            yield (
                "fewer_tensors",
                f"{sent:,} of {given:,} {things} were sent again and again: {words} no more fit in "
                "--json-memory",
            )
        elif (
            form == "String" and config.draws_prompts and 0 < sent < result.counts.all_requests.sent
        ):
            yield (
                "prompts_again",
                f"{sent:,} drawn prompts were sent again and again: a server that caches prompts "
                "had seen them",
            )
    if run.surroundings.same_cores:
        yield "same_machine", "the server is on this machine: client and server share its cores"
        if config.servers_meanwhile:
            others = ", ".join(config.servers_meanwhile)
            yield "servers_meanwhile", f"the sweep did not stop other servers on it: {others}"
    if watch.unsteady:
        yield "unsteady", f"the warm-up never became steady: {watch.unsteady}"
    if watch.unfilled:
        yield (
            "unfilled_batch",
            "the last requests were abandoned: the model waits for MINBATCHSIZE rows, without a "
            "time limit, and no more were sent; they are in no figure",
        )


def server_warnings(run: Measurement) -> Iterator[tuple[str, str]]:
    """Yield warnings about the servers."""
    first, *others = records = run.records
    autobatching = run.config.metadata_autobatching
    if run.asked_workers < len(records):
        yield (
            "more_workers",
            f"--workers {run.asked_workers}, but {len(records)} ran: one for each server",
        )
    if any(record.server.kind == SIMULATED for record in records):
        yield "simulated", "the server's times are simulated: no model was measured"
    for record in records:
        if autobatching != -1 and record.autobatching not in (None, autobatching):
            yield (
                "autobatching_differs",
                f"--metadata-autobatching {autobatching}, but {record.server.address} has the "
                f"model with BATCHSIZE {record.autobatching}",
            )
    for other in others:
        if (other.server.kind, other.server.version) != (first.server.kind, first.server.version):
            yield (
                "servers_differ",
                f"{other.server.address} is {other.server.kind} {other.server.version}, "
                f"{first.server.address} {first.server.kind} {first.server.version}",
            )
        if list(other.model_digests) != list(first.model_digests):
            yield (
                "models_differ",
                f"{other.server.address} and {first.server.address} have different models of "
                "that name, by their SHA-256",
            )


KINDS_OF_FIGURES = (
    "few_requests", "not_sent", "connecting", "window_waits", "saturated", "other_programs",
    "incomplete", "trend",
)  # fmt: skip
"""The kinds of `doubts_of_figures`, which judges all clients' figures together."""


def doubts_of_figures(config: RunConfig, result: Result) -> Iterator[tuple[str, str]]:
    """Yield the warnings that follow from the figures alone."""
    if 0 < result.successes < MIN_FOR_P99:
        yield (
            "few_requests",
            f"{result.successes} measured requests are too few for a p99: measure {MIN_FOR_P99}",
        )
    if result.not_sent_share > MAX_NOT_SENT:
        yield (
            "not_sent",
            f"{result.not_sent_share:.1%} of the requests that were due were not sent, "
            f"{result.shed + result.schedule.unsent:,} of {result.due:,}: the percentiles are of "
            "those that were; use more --workers, or ask for less",
        )
    if result.connect_share > MANY_CONNECTS:
        yield (
            "connecting",
            f"making new connections took {result.connect_share:.0%} of the workers' time: the "
            "rate and the response latency are of that, too",
        )
    if result.window_share > MANY_WINDOW_WAITS:
        yield (
            "window_waits",
            f"requests waited {result.window_share:.0%} of their latency for the server to open "
            "its flow-control windows: larger windows, or more connections, avoid that",
        )
    if result.counts.saturated:
        yield (
            "saturated",
            f"{result.counts.saturated} latencies above an hour are counted as an hour",
        )
    check = result.client.check
    others = max(check.others or 0.0, check.server_others or 0.0)
    if others > MUCH_OTHERS:
        yield (
            "other_programs",
            f"other programs than the client and its server used {others:.0%} of their cores",
        )
    if result.incomplete:
        yield (
            "incomplete",
            "the run was killed: this is what its journal held at the end of a reporting period",
        )
        return
    periods = [one for one in result.intervals if one.overall_rate > 0 and not one.is_partial]
    has_one_rate = not (config.profile or config.is_recorded)
    if has_one_rate and (found := trend([one.instantaneous_rate for one in periods])):
        yield (
            "trend",
            f"the rate {'rose' if found.change > 0 else 'fell'} by {abs(found.change):.0%} from "
            f"the first third of the measured time to the last (Mann-Kendall, {found.shown_p}): it "
            "is not steady; use a longer --burn-in, or find out what changes",
        )
