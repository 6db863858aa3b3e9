"""The native parts; everything else about the package is in pyproject.toml."""

import json
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError

sys.path.insert(0, str(Path(__file__).parent))  # build backends do not add it

import sbom
import vendored_sources

PACKAGE = Path("src/aibench_fast")
SERVER_MODULE = "aibench_fast.server.aimodule"
TOKEN_SERVER = "aibench_fast.server.simulated_tokens"
WARNINGS = ["-Wall", "-Wextra"]
# -O3 for the loops over pixels: at -O2 the compiler leaves them unvectorised, four times slower.
CFLAGS = ["-std=c11", "-O3", "-g", "-D_GNU_SOURCE", "-fvisibility=hidden", "-pthread", *WARNINGS]
# Cython's output only calls the C code: -O3 would double its compile time and gain nothing.
CYTHON_CFLAGS = ["-O1", "-g0"]
VENDORED_CFLAGS = [
    "-O2", "-g0", "-D_GNU_SOURCE", "-fvisibility=hidden",
    "-w",  # warnings of other people's code
]  # fmt: skip
EXPORTED = Path("exported.map")
LINK_FLAGS = [f"-Wl,--version-script={EXPORTED}"]


class BuildNative(build_ext):
    """Links C libraries statically into the client; the server's module becomes a plain .so, and
    the server of tokens a program.

    Objects are compiled on all cores, and only if a source, a header or the command changed.
    """

    def finalize_options(self) -> None:
        super().finalize_options()
        if self.inplace or self.editable_mode:
            # For an editable installation setuptools would compile all in a temporary folder.
            self.build_temp = "build/native"

    def build_extensions(self) -> None:
        self.compiler.compile = self.compile_changed
        super().build_extensions()

    def compile_changed(
        self,
        sources: Sequence[str],
        output_dir: str | None = None,
        macros: list[tuple[str, str | None]] | None = None,
        include_dirs: list[str] | None = None,
        debug: bool = False,
        extra_preargs: list[str] | None = None,
        extra_postargs: list[str] | None = None,
        depends: Sequence[str] | None = None,
    ) -> list[str]:
        """Replace the compiler's `compile`, which compiles all sources one after the other."""
        compiler = self.compiler
        _, objects, postargs, options, build = compiler._setup_compile(
            output_dir, macros, include_dirs, sources, None, extra_postargs
        )
        arguments = compiler._get_cc_args(options, debug, extra_preargs)

        def compile_one(name: str) -> None:
            source, suffix = build[name]
            by_cython = Path(source).with_suffix(".pyx").exists()
            flags = [*postargs, *(CYTHON_CFLAGS if by_cython else ())]
            command = " ".join([*compiler.compiler_so, *arguments, *flags])
            made_of = Path(name).with_suffix(".d")
            built_by = Path(name).with_suffix(".cmd")
            if is_current(Path(name), made_of, built_by, command):
                return
            compiler._compile(
                name, source, suffix, [*arguments, "-MMD", "-MF", str(made_of)], flags, options
            )
            built_by.write_text(command)

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(compile_one, objects))
        return objects

    def build_extension(self, ext: Extension) -> None:
        if ext.name == TOKEN_SERVER:
            self.build_program(ext)
            return
        if ext.name == "aibench_fast._core":
            self.link_libraries(ext)
            if self.has_openssl():
                ext.define_macros.append(("WITH_OPENSSL", "1"))
                ext.libraries += ["ssl", "crypto"]
        super().build_extension(ext)

    def link_libraries(self, ext: Extension, *names: str) -> None:
        """Have an extension use the C libraries of these names, or all."""
        libraries = vendored_sources.find_sources(Path("build/vendored"))
        includes = [*map(str, libraries.includes)]
        ext.include_dirs += includes
        linked = libraries.only(*names) if names else libraries
        ext.extra_objects = self.compiler.compile(
            [*map(str, linked.files)],
            output_dir=self.build_temp,
            include_dirs=includes,
            # All of them always: an object is compiled again if its command changed.
            extra_postargs=[*VENDORED_CFLAGS, *libraries.defines],
        )

    def build_program(self, ext: Extension) -> None:
        self.link_libraries(ext, "llhttp", "yyjson")
        objects = self.compiler.compile(
            ext.sources,
            output_dir=self.build_temp,
            include_dirs=ext.include_dirs,
            extra_postargs=ext.extra_compile_args,
        )
        program = Path(self.get_ext_fullpath(ext.name))
        self.compiler.link_executable(
            [*objects, *ext.extra_objects],
            program.name,
            output_dir=str(program.parent),
            # As extensions are linked: a sanitizer has to be named there too.
            extra_preargs=os.environ.get("CFLAGS", "").split(),
        )

    def has_openssl(self) -> bool:
        """Return whether OpenSSL 3's headers are installed; without them the client has no TLS."""
        probe = Path(self.build_temp) / "openssl_probe.c"
        probe.parent.mkdir(parents=True, exist_ok=True)
        probe.write_text(
            "#include <openssl/ssl.h>\n"
            "#if OPENSSL_VERSION_MAJOR < 3\n#error too old\n#endif\n"
            "int none;\n"
        )
        try:
            self.compiler.compile([str(probe)], output_dir=self.build_temp)
        except CompileError:
            print(
                "OpenSSL 3's headers are not installed (Debian: libssl-dev): building without TLS",
                file=sys.stderr,
            )
            return False
        return True

    def get_ext_filename(self, fullname: str) -> str:
        # The servers are not Python extensions and have no interpreter's suffix.
        for name, suffix in ((SERVER_MODULE, ".so"), (TOKEN_SERVER, "")):
            if fullname.endswith(name.rpartition(".")[2]):
                return fullname.replace(".", "/") + suffix
        return super().get_ext_filename(fullname)


def is_current(made: Path, made_of: Path, built_by: Path, command: str) -> bool:
    """Return whether an object is newer than its sources and was made by this command."""
    try:
        if built_by.read_text() != command:
            return False
        # Make's syntax: "target: file file \\\n file".
        files = made_of.read_text().replace("\\\n", " ").partition(": ")[2].split()
        return all(Path(file).stat().st_mtime < made.stat().st_mtime for file in files)
    except FileNotFoundError:
        return False


class WheelWithSbom(bdist_wheel):
    """Adds an SBOM of the linked libraries to the wheel, as PEP 770 specifies."""

    def write_wheelfile(self, wheelfile_base: str, *arguments: str) -> None:
        super().write_wheelfile(wheelfile_base, *arguments)
        document = sbom.document(
            self.distribution.get_version(), vendored_sources.LIBRARIES, self.openssl_version()
        )
        folder = Path(wheelfile_base) / "sboms"
        folder.mkdir(exist_ok=True)
        (folder / sbom.FILE_NAME).write_text(json.dumps(document, indent=2) + "\n")

    def openssl_version(self) -> str | None:
        """Return the version of OpenSSL's headers; None if the client is not linked with it."""
        build = self.get_finalized_command("build_ext")
        if "ssl" not in client.libraries:
            return None
        Path(build.build_temp).mkdir(parents=True, exist_ok=True)
        source, output = (Path(build.build_temp) / name for name in ("version.c", "version.i"))
        source.write_text("#include <openssl/opensslv.h>\nOPENSSL_VERSION_STR\n")
        build.compiler.preprocess(str(source), str(output))
        return output.read_text().split()[-1].strip('"')


def native_extension(name: str, folder: Path, *more_sources: str, **options: object) -> Extension:
    return Extension(
        name,
        sources=[*more_sources, *map(str, sorted(folder.glob("*.c")))],
        depends=["setup.py", str(EXPORTED), *map(str, sorted(folder.glob("*.h")))],
        extra_compile_args=CFLAGS,
        extra_link_args=["-pthread", *LINK_FLAGS],
        **options,
    )


client = native_extension(
    "aibench_fast._core",
    PACKAGE / "native",
    str(PACKAGE / "_core.pyx"),
    include_dirs=[str(PACKAGE / "native")],
    libraries=["m"],
)
pixels = native_extension(
    "aibench_fast.tensors._pixels",
    PACKAGE / "tensors" / "native",
    str(PACKAGE / "tensors" / "_pixels.pyx"),
    include_dirs=[str(PACKAGE / "tensors" / "native")],
)
server_module = native_extension(
    SERVER_MODULE,
    PACKAGE / "server" / "module",
    libraries=["m", "dl"],
)

token_server = native_extension(
    TOKEN_SERVER,
    PACKAGE / "server" / "tokens",
    include_dirs=[str(PACKAGE)],
)

setup(
    ext_modules=[
        *cythonize([client, pixels], language_level=3, include_path=["src"]),
        server_module,
        token_server,
    ],
    cmdclass={"build_ext": BuildNative, "bdist_wheel": WheelWithSbom},
)
