"""The CycloneDX document of the wheel: the libraries linked into the native parts."""

from collections.abc import Sequence
from typing import Any

from vendored_sources import Library

FILE_NAME = "aibench-fast.cdx.json"
SPEC_VERSION = "1.6"
PACKAGE = "aibench-fast"
PACKAGE_LICENCE = "Apache-2.0"


def document(
    version: str, libraries: Sequence[Library], openssl_version: str | None
) -> dict[str, Any]:
    """Return the document of a wheel; `openssl_version` is None if OpenSSL is not linked."""
    linked = [_vendored(library) for library in libraries]
    if openssl_version is not None:
        linked.append(_openssl(openssl_version))
    package = _component(
        "application", PACKAGE, version, f"pkg:pypi/{PACKAGE}@{version}", PACKAGE_LICENCE
    )
    return {
        "bomFormat": "CycloneDX",
        "specVersion": SPEC_VERSION,
        "version": 1,
        "metadata": {"component": package},
        "components": linked,
        "dependencies": [
            {"ref": package["bom-ref"], "dependsOn": [one["bom-ref"] for one in linked]},
            *({"ref": one["bom-ref"]} for one in linked),
        ],
    }


def _vendored(library: Library) -> dict[str, Any]:
    if not library.is_pinned:  # the content of a given folder is unknown
        return {
            "type": "library", "bom-ref": library.name, "name": library.name,
            "licenses": _licences(library.licence),
        }  # fmt: skip
    tag = library.c_tag.replace("/", "%2F")
    purl = f"pkg:github/{library.c_package}@{tag}"
    archive = {
        "type": "source-distribution",
        "url": f"pkg:pypi/{library.package}@{library.version}#{library.folder}",
        "hashes": [{"alg": "SHA-256", "content": library.sha256}],
    }
    return {
        **_component("library", library.name, library.c_version, purl, library.licence),
        "externalReferences": [archive],
    }


def _openssl(version: str) -> dict[str, Any]:
    purl = f"pkg:github/openssl/openssl@openssl-{version}"
    return _component("library", "openssl", version, purl, "Apache-2.0")


def _component(kind: str, name: str, version: str, purl: str, licence: str) -> dict[str, Any]:
    return {
        "type": kind,
        "bom-ref": purl,
        "name": name,
        "version": version,
        "licenses": _licences(licence),
        "purl": purl,
    }


def _licences(licence: str) -> list[dict[str, Any]]:
    return [{"license": {"id": licence}}]
