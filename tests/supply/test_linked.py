"""The libraries linked into the native parts: listed, licensed, and seen by nobody else."""

import importlib.metadata
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from zipfile import ZipFile

import pytest
from commandline import completed
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

import sbom
from aibench_fast import _core
from aibench_fast.server import embedded
from aibench_fast.tensors import _pixels
from vendored_sources import LIBRARIES, Library, Sources

ROOT = Path(__file__).parents[2]
LICENSES = ROOT / "LICENSES"


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> ZipFile:
    """A wheel of what is built already."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "setup.py", "--quiet", "bdist_wheel", "--skip-build",
         "--dist-dir", folder, "--bdist-dir", folder / "laid-out"],
        cwd=ROOT, check=True, capture_output=True,
    )  # fmt: skip
    (made,) = folder.glob("*.whl")
    return ZipFile(made)


def read(wheel: ZipFile, suffix: str) -> str:
    (name,) = (name for name in wheel.namelist() if name.endswith(suffix))
    return wheel.read(name).decode()


@pytest.mark.parametrize(
    ("file", "entry_point"),
    [
        (Path(_core.__file__), "PyInit__core"),
        (Path(_pixels.__file__), "PyInit__pixels"),
        (embedded.MODULE, "RedisModule_OnLoad"),
    ],
)
def test_a_native_part_shows_its_entry_point_alone(
    file: Path, entry_point: str, system_program: Callable[[str, str], Path]
) -> None:
    told = completed(system_program("nm", "binutils"), "--dynamic", "--defined-only", file)
    assert [line.split()[-1] for line in told.stdout.splitlines()] == [entry_point]


@pytest.mark.parametrize("openssl_version", [None, "3.0.17"])
def test_the_list_is_as_cyclonedx_has_it(openssl_version: str | None) -> None:
    document = json.dumps(sbom.document("1.0", LIBRARIES, openssl_version))
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(document) is None


def test_the_wheel_lists_what_is_linked(wheel: ZipFile) -> None:
    document = json.loads(read(wheel, f".dist-info/sboms/{sbom.FILE_NAME}"))
    listed = {one["name"]: one for one in document["components"]}
    assert document["metadata"]["component"]["version"] == importlib.metadata.version(sbom.PACKAGE)
    for library in LIBRARIES:
        component = listed[library.name]
        assert component["version"] == library.c_version
        assert component["purl"].startswith(f"pkg:github/{library.c_package}@")
        assert component["licenses"] == [{"license": {"id": library.licence}}]
        (archive,) = component["externalReferences"]
        assert archive["hashes"] == [{"alg": "SHA-256", "content": library.sha256}]


def test_openssl_is_listed_where_it_is_linked() -> None:
    names = [one["name"] for one in sbom.document("1.0", LIBRARIES, "3.0.17")["components"]]
    assert names == [*(library.name for library in LIBRARIES), "openssl"]


def test_sources_of_ones_own_are_listed_without_what_is_not_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(LIBRARIES[0].variable, "somewhere")
    document = sbom.document("1.0", LIBRARIES, None)
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(document)) is None
    assert not {"version", "purl", "externalReferences"} & document["components"][0].keys()


@pytest.mark.parametrize("library", LIBRARIES, ids=lambda library: library.name)
def test_the_wheel_has_the_licence_of_what_is_linked(
    library: Library, libraries: Sources, wheel: ZipFile
) -> None:
    text = read(wheel, f"/LICENSES/{library.name}.txt")
    theirs = (libraries.folders[library] / library.licence_file).read_text()
    assert len(text.split()) > 150
    assert " ".join(text.split()) in " ".join(theirs.split())


def test_the_linked_nghttp2_is_the_listed_one() -> None:
    (listed,) = (one for one in LIBRARIES if one.name == "nghttp2")
    assert listed.c_version == _core.NGHTTP2_VERSION


def test_there_is_no_licence_of_what_is_not_linked() -> None:
    assert {file.stem for file in LICENSES.iterdir()} == {library.name for library in LIBRARIES}


@pytest.mark.parametrize("library", LIBRARIES, ids=lambda library: library.name)
def test_the_listed_version_is_that_of_the_sources(library: Library, libraries: Sources) -> None:
    folder = libraries.folders[library]
    if library.configured:  # a header of ours has the listed one in any case
        project = f"project({library.name} VERSION {library.c_version} "
        assert project in (folder / "CMakeLists.txt").read_text()
        return
    headers = "\n".join(file.read_text() for file in sorted(folder.glob("**/*.h")))
    name = rf"{library.name.upper()}(?:_VERSION)?"
    found = [
        re.search(rf"^#define {name}_{part}\s+(\d+)", headers, re.MULTILINE)
        for part in ("MAJOR", "MINOR", "PATCH")
    ]
    assert ".".join(one[1] for one in found if one) == library.c_version
