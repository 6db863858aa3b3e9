"""A real Triton that speaks gRPC by TLS, and asks its clients for certificates."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from certificates import Authority, Certificate
from commandline import Cli
from modelservers import DecoupledTriton


class Secured(NamedTuple):
    url: str
    authority: Path
    client: Certificate


class TlsTriton(DecoupledTriton):
    def __init__(self, model: str, certificate: Certificate, authority: Path) -> None:
        super().__init__(model)
        self._given = [
            "--grpc-use-ssl-mutual=true", f"--grpc-server-cert={certificate.certificate}",
            f"--grpc-server-key={certificate.key}", f"--grpc-root-cert={authority}",
        ]  # fmt: skip

    def _options(self) -> list[str]:
        return [*super()._options(), *self._given]


@pytest.fixture(scope="module")
def secured(authority: Authority, certificate: Certificate) -> Iterator[Secured]:
    with TlsTriton("mobilenet", certificate, authority.file) as server:
        url = server.grpc_url.replace("grpc:", "grpcs:")
        yield Secured(url, authority.file, authority.sign("client", "client"))


def words(secured: Secured) -> list[object]:
    client = secured.client
    return [
        "--url", secured.url, "--cacert", secured.authority, "--cert", client.certificate,
        "--key", client.key,
    ]  # fmt: skip


@pytest.mark.parametrize("how", [(), ("--pipeline", 8)])
def test_tensors_over_tls(
    cli: Cli, secured: Secured, tmp_path: Path, how: tuple[object, ...]
) -> None:
    cli(
        "run", *words(secured), "--model", "mobilenet", "--workers", 2, *how, "--max-queries", 60,
        "--json-out-file", "r.json", code=0,
    )  # fmt: skip
    saved = json.loads((tmp_path / "r.json").read_text())
    assert (saved["Successes"], saved["Failures"]) == (60, {})
    assert saved["Facts"]["Tls"].startswith("TLSv1.3")


def test_a_decoupled_model_over_tls(cli: Cli, secured: Secured, tmp_path: Path) -> None:
    np.array([3, 0, 1, 2], np.int32).tofile(tmp_path / "x.out")
    cli(
        "run", *words(secured), "--model", "decoupled", "--stream", "--file", "x.out", "--shape",
        1, "--dtype", "INT32", "--max-queries", 40, "--json-out-file", "r.json", code=0,
    )  # fmt: skip
    saved = json.loads((tmp_path / "r.json").read_text())
    assert (saved["Failures"], saved["RepliesPerRequest"]) == ({}, 1.5)


def test_without_a_certificate_it_refuses(cli: Cli, secured: Secured) -> None:
    cli("run", *words(secured)[:4], "--model", "null", code=3, errors=1)
