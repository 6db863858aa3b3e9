"""Settings that belong to a protocol, and the names by which messages call them."""

import dataclasses
from typing import Any
from urllib.parse import urlsplit

import pytest
from fake_redisai import FakeRedisAI

from aibench_fast import ConfigError, RunConfig, ServerAddress, run
from aibench_fast.cli import build_parser, main
from aibench_fast.cli.output import with_options
from aibench_fast.protocols import registry
from aibench_fast.protocols.redisai.commands import Dialect
from aibench_fast.protocols.redisai.protocol import RedisAi
from aibench_fast.protocols.redisai.settings import RedisAiSettings
from aibench_fast.protocols.registry import PROTOCOLS
from aibench_fast.protocols.settings import Encoding


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"workers": 0}, "`workers` 0: it has to be from 1 to 100000"),
        (
            {"max_lag_s": 1.0},
            "`max_lag_s` without `limit_rps`, `profile`, `arrivals_file` or `trace`: ",
        ),
        ({"reference_file": "r"}, "`reference_file` r without `file`: "),
        ({"batch_size": 0}, "`batch_size` 0: it has to be from 1 to "),
        ({"dtype": "FP8"}, "`dtype` FP8: it has to be one of FLOAT, "),
        ({"reply_timeout_s": 0.0}, "`reply_timeout_s` 0 s: it has to be from 1e-06 to "),
    ],
)
def test_python_reads_the_names_of_arguments(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        RunConfig(**{"file": None, "shape": (4,), **settings})
    assert str(raised.value).startswith(message)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--workers", "0"], "--workers 0: it has to be from 1 to 100000"),
        (
            ["--max-lag", "1s"],
            "--max-lag without --limit-rps, --profile, --arrivals-file or --trace: ",
        ),
        (["--verify", "r"], "--verify r without --file: "),
        (["--batch-size", "0"], "--batch-size 0: it has to be from 1 to "),
        (["--dial-read-timeout", "0s"], "--dial-read-timeout 0 s: it has to be from 1e-06 to "),
        (["--burn-in", "auto"], "--burn-in auto: it is not known how many requests it takes; "),
        (["--header", "te: x", "--url", "http://h"], "--header te: it changes where a request "),
        (["--json-memory", "1MB"], "--json-memory without --url: RedisAI has no such setting"),
        (["--tls", "--key", "k"], "--key k without --cert: "),
    ],
)
def test_the_command_line_reads_the_names_of_options(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", "--shape", "4", *words]) == 2
    assert capsys.readouterr().err.startswith(f"aibench-fast: {message}")


def test_every_setting_is_called_by_the_option_that_sets_it() -> None:
    (commands,) = [one for one in build_parser()._actions if one.dest == "command"]
    actions = commands.choices["run"]._actions  # type: ignore[index]
    fields = {field.name for field in dataclasses.fields(RunConfig)} - {"server_name"}  # TLS's
    options = {one.dest: one.option_strings for one in actions if one.dest in fields}
    assert len(options) > 30
    for setting, names in options.items():
        assert with_options(f"`{setting}` 5") in [f"{name} 5" for name in names]


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("cluster_mode", True),
        ("use_dag", True),
        ("persist_results", True),
        ("dialect", Dialect.MODELEXECUTE),
        ("dialect", None),
        ("timeout_ms", 5),
        ("reset_stats", True),
        ("pipeline", 2),
    ],
)
def test_a_setting_of_redisai_alone(setting: str, value: object) -> None:
    usual: dict[str, Any] = {"file": None, setting: value}
    RunConfig(**usual)
    with pytest.raises(ConfigError) as raised:
        RunConfig(url="http://localhost", **usual)
    told = f"`{setting}` with `url`: the Open Inference Protocol over HTTP has no such setting"
    assert str(raised.value) == told


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("headers", (("a", "b"),)),
        ("metrics_url", "http://localhost:1"),
        ("model_version", "1"),
        ("encoding", Encoding.JSON),
        ("json_memory_bytes", 5),
    ],
)
def test_a_setting_of_the_open_inference_protocol_alone(setting: str, value: object) -> None:
    usual: dict[str, Any] = {"file": None, setting: value}
    RunConfig(url="http://localhost", **usual)
    with pytest.raises(ConfigError) as raised:
        RunConfig(**usual)
    assert str(raised.value) == f"`{setting}` without `url`: RedisAI has no such setting"


class Third(RedisAi):
    """A protocol that only the registry knows: RedisAI's, by a URL."""

    name = "a third protocol"
    schemes = ("third",)

    def __init__(self, settings: RedisAiSettings) -> None:
        """Take the address from the URL."""
        parts = urlsplit(str(settings.url))
        address = ServerAddress(str(parts.hostname), parts.port or 0)
        super().__init__(dataclasses.replace(settings, address=address, url=None))


def test_a_run_takes_a_protocol_that_is_only_in_the_registry(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(registry, "PROTOCOLS", (*PROTOCOLS, Third))
    with FakeRedisAI() as server:
        url = f"third://127.0.0.1:{server.port}"
        result = run(RunConfig(file=None, shape=(4,), url=url, max_queries=9, use_dag=True))
        assert (result.successes, server.counts["AI.DAGRUN"] >= 9) == (9, True)
        with pytest.raises(ConfigError, match="`model_version` with `url`: a third protocol has"):
            RunConfig(file=None, url=url, model_version="1")


def test_no_two_protocols_have_a_scheme_in_common() -> None:
    schemes = [scheme for protocol in PROTOCOLS for scheme in protocol.schemes]
    assert sorted(schemes) == sorted(set(schemes))
