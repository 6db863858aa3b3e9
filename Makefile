# make bench   the first run, from photographs to figures, in one command
# make extras  the packages of all extras but triton, such as a report's, in the environment of make bench
# make data-vision   tensors of COCO 2017's photographs in /tmp/bulk_data/vision_tensors.out
# make perf    compare the client's costs with other programs: a table of ratios, 40 minutes; PERF has its options
# make test    all tests that need nothing but what make system names, and the twenty slowest of them
# make test-servers  the tests that need servers that others wrote, or a browser
# make servers those servers, 3.4 GB under build/servers: KServe, MLServer, BentoML, transformers serve,
#              guidellm's mock and LiteLLM's proxy
# make aiperf  NVIDIA's AIPerf for make perf, 1.3 GB under build/servers
# make dist    sdist and wheel in dist/, installed with all extras in clean environments and tried
# make fields  the JSON Schema of a result and the page of its fields in docs/, from their declarations
# make docs    the documentation's site in build/site; dead links are errors
# make lint    ruff, mypy, and the C compiler with every warning as an error
# make asan    the embedded server's module and the client under AddressSanitizer and UBSan
# make ubsan   the client under UBSan alone, tsan under ThreadSanitizer, memcheck under valgrind
# make fuzz    random commands, replies, files and options, a minute each
# make faults  check that all requests and tokens are counted over 60,000 random schedules of faults: four hours
# make moments check that Ctrl-C and SIGTERM end each command within two seconds, at 20 moments
# make soak    check that memory and descriptors do not grow over MINUTES of loads and faults
# make audit   look up known vulnerabilities of the packages in requirements.txt
# make clean   remove build products, the environment and results/

PYTHON3 ?= python3
VENV := .venv
PYTHON := $(VENV)/bin/python
AIBENCH := $(VENV)/bin/aibench-fast
# One stamp per purpose: nobody waits for packages of another purpose.
BUILD := $(VENV)/.build
PACKAGES := $(VENV)/.packages
NATIVE := $(VENV)/.native
RUN := $(VENV)/.run
TEST := $(VENV)/.test
TEST_SERVERS := $(VENV)/.test-servers
LINT := $(VENV)/.lint
DIST := $(VENV)/.dist
DOCS := build/docs-venv
# Without compiling byte code: Python does that for the modules that it imports.
INSTALL := $(PYTHON) -m pip install --quiet --disable-pip-version-check --no-compile
PYPROJECT := import tomllib; project = tomllib.load(open("pyproject.toml", "rb"))
# Only these need a build, without pip. Python files are used in place.
BUILT_FROM := setup.py vendored_sources.py exported.map \
    $(shell find src -name '*.c' -o -name '*.h' -o -name '*.pyx' -o -name '*.pxd' | grep -Ev '/(_core|_pixels)\.c$$')

RESULTS := results
TENSORS := $(RESULTS)/vision_tensors.out
BENCH_SECONDS ?= 30s
FAULTS ?= 20000
MINUTES ?= 30

# Servers for tests, whose packages conflict with ours.
SERVERS := build/servers
# More words for pytest: continuous integration has it measure coverage.
PYTEST ?=
# More words for the benchmarks, such as `--rows grpc grpc-small`.
PERF ?=

.PHONY: bench extras data-vision perf test test-servers servers aiperf dist docs fields lint faults moments soak audit clean system \
    ready installed

bench: ready
	$(AIBENCH) prepare --input sample --limit 200 --output $(TENSORS)
	$(AIBENCH) run --embedded --file $(TENSORS) --burn-in 50 --duration $(BENCH_SECONDS) \
	    --json-out-file $(RESULTS)/bench.json \
	    --output-file-stats-hdr-response-latency-hist $(RESULTS)/bench-latency-hist.txt

extras: ready
	$(INSTALL) $$($(PYTHON) -c '$(PYPROJECT)["project"]["optional-dependencies"]; print(*(one for name in project if name != "triton" for one in project[name]))')

data-vision: ready
	scripts/generate_data_vision.sh

perf: $(TEST_SERVERS)
	$(PYTHON) -m benchmarks.perf --out $(RESULTS)/perf $(PERF)

test: $(TEST)
	@# Three files at a time on two cores: tests wait for timeouts and servers half of their time.
	@# In the order of their names, so that files of one long test are not the last.
	$(PYTHON) -m pytest -n 3 --dist loadfile --no-loadscope-reorder --ignore tests/external $(PYTEST)

test-servers: $(TEST_SERVERS)
	@$(MAKE) --no-print-directory -j 2 servers
	$(PYTHON) -m pytest -n 2 --dist loadfile tests/external $(PYTEST)

servers: $(patsubst %,$(SERVERS)/%/.installed,kserve mlserver bentoml tokens litellm numpy1)

aiperf: $(SERVERS)/aiperf/.installed

$(SERVERS)/kserve/.installed: WANTED := 'kserve==0.21.0'
$(SERVERS)/mlserver/.installed: WANTED := 'mlserver==1.7.1'
$(SERVERS)/bentoml/.installed: WANTED := 'bentoml>=1.4'
# Of this version pip takes the wheel without CUDA where it finds one: 200 MB in place of 5 GB.
$(SERVERS)/tokens/.installed: WANTED := 'torch==2.13.0' 'transformers[serving]==5.24.0' 'guidellm==0.8.1'
$(SERVERS)/litellm/.installed: WANTED := 'litellm[proxy]==1.108.7'
# Triton's Python backend cannot read strings with NumPy 2.
$(SERVERS)/numpy1/.installed: WANTED := 'numpy<2'
$(SERVERS)/aiperf/.installed: WANTED := 'aiperf==0.13.0'
$(SERVERS)/%/.installed:
	$(PYTHON3) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet $(WANTED)
	@touch $@

# auditwheel tags the wheel with the systems that it runs on.
dist: $(DIST)
	rm -rf dist build/dist
	$(PYTHON) -m build --outdir build/dist .
	PATH="$(abspath $(VENV))/bin:$$PATH" $(PYTHON) -m auditwheel repair --wheel-dir dist build/dist/*.whl
	cp build/dist/*.tar.gz dist
	.ci/try-dist dist

docs: ready $(DOCS)/.installed
	$(PYTHON) examples/coordinated_omission.py --seconds 10 --out build/examples
	NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/python -m mkdocs build --strict --quiet

fields: ready
	$(PYTHON) -m tools.result_fields docs

lint: $(LINT)
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy
	rm -rf build/lint
	CFLAGS=-Werror $(PYTHON) setup.py --quiet build --build-base build/lint

faults: $(TEST)
	FAULTS=$(FAULTS) $(PYTHON) -m pytest -q tests/faults/test_conservation.py \
	    tests/tokens/test_stream_conservation.py

moments: $(TEST)
	MOMENTS=20 $(PYTHON) -m pytest -q tests/run/test_ending.py

soak: $(TEST_SERVERS)
	$(PYTHON) tests/soak.py --minutes $(MINUTES) --out $(RESULTS)/soak.md

include tests/server/native.mk

asan ubsan tsan memcheck fuzz runs-asan runs-ubsan runs-tsan: | $(TEST)

audit:
	$(PYTHON3) -m venv build/audit
	build/audit/bin/python -m pip install --quiet pip-audit
	.ci/audit build/audit/bin/pip-audit requirements.txt

# The requirements of a run: packages are installed while the C code is compiled.
ready:
	@$(MAKE) --no-print-directory -j 2 installed

installed: $(RUN)
	@:

$(BUILD): pyproject.toml
	@$(MAKE) --no-print-directory system
	$(PYTHON3) -m venv $(VENV)
	$(INSTALL) $$($(PYTHON) -c '$(PYPROJECT); print(*project["build-system"]["requires"])')
	@touch $@

$(PACKAGES): pyproject.toml | $(BUILD)
	$(INSTALL) $$($(PYTHON) -c '$(PYPROJECT)["project"]; print(*project["dependencies"], *project["optional-dependencies"]["server"])')
	@touch $@

$(NATIVE): $(BUILT_FROM) | $(BUILD)
	$(PYTHON) setup.py --quiet build_ext --inplace
	@touch $@

$(RUN): pyproject.toml | $(PACKAGES) $(NATIVE)
	$(INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@

# Dependency groups need pip 25.1 or newer.
$(TEST): pyproject.toml | ready
	$(INSTALL) 'pip>=25.1'
	$(INSTALL) --no-build-isolation --editable '.[server,report,notebook,dask,fsspec,tokenizer,completion]' --group test
	@touch $@

$(TEST_SERVERS): $(TEST)
	$(INSTALL) --group test-servers
	# Without dependencies: its Python part, which is not used here, needs NumPy 1.
	$(INSTALL) --no-deps 'nvidia-pytriton>=0.5'
	@touch $@

$(LINT): $(TEST)
	$(INSTALL) --group lint
	@touch $@

$(DOCS)/.installed: pyproject.toml
	$(PYTHON3) -m venv $(DOCS)
	$(DOCS)/bin/python -m pip install --quiet --disable-pip-version-check 'pip>=25.1'
	$(DOCS)/bin/python -m pip install --quiet --group docs
	@touch $@

$(DIST): pyproject.toml | ready
	$(INSTALL) 'pip>=25.1'
	$(INSTALL) --group dist
	@touch $@

# Report a missing system package by its name in Debian and Ubuntu.
system:
	@$(PYTHON3) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "Python 3.11 or newer is missing: install python3, or say make PYTHON3=..." >&2; exit 1; }
	@$(PYTHON3) -c 'import ensurepip, venv' 2>/dev/null || \
	    { echo "Python's venv is missing: install python3-venv" >&2; exit 1; }
	@command -v $${CC:-cc} >/dev/null || \
	    { echo "a C compiler is missing: install build-essential" >&2; exit 1; }
	@$(PYTHON3) -c 'import pathlib, sys, sysconfig; sys.exit(not pathlib.Path(sysconfig.get_path("include"), "Python.h").exists())' || \
	    { echo "Python's C headers are missing: install python3-dev" >&2; exit 1; }

clean:
	rm -rf $(VENV) build dist results src/*.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find src -name '*.so' -delete
	rm -f src/aibench_fast/_core.c src/aibench_fast/tensors/_pixels.c
