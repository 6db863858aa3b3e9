"""Certificates made on the spot, as files."""

import datetime
import os
import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path

import trustme


@dataclass(frozen=True)
class Certificate:
    """A certificate with its key."""

    certificate: Path
    key: Path

    @property
    def for_server(self) -> ssl.SSLContext:
        """As Python's servers take it."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.key)
        return context


class Authority:
    """An authority and the certificates that it signs, in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ca = trustme.CA()
        self.file = folder / "ca.pem"
        self._ca.cert_pem.write_to_path(str(self.file))

    def sign(self, name: str, *names: str, expired: bool = False) -> Certificate:
        until = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
        signed = self._ca.issue_cert(*names, **({"not_after": until} if expired else {}))
        made = Certificate(self._folder / f"{name}.pem", self._folder / f"{name}.key")
        made.certificate.write_bytes(b"".join(one.bytes() for one in signed.cert_chain_pems))
        signed.private_key_pem.write_to_path(str(made.key))
        return made


def has_openssl() -> bool:
    """Whether the headers of OpenSSL are there, with which the client is built."""
    compiler = os.environ.get("CC", "cc")
    asked = [compiler, "-E", "-include", "openssl/ssl.h", "-x", "c", os.devnull]
    return subprocess.run(asked, check=False, capture_output=True).returncode == 0
