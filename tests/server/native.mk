# make asan    the embedded server's tests with its module under AddressSanitizer and UBSan, the native
#              core's by themselves, and real runs of the client so built, over every protocol
# make ubsan   the same of the client by UBSan alone, which then looks at floating-point numbers too
# make tsan    the same of the client by ThreadSanitizer
# make memcheck  the native core under valgrind
# make fuzz    random commands thrown at that module, random replies at the client's judges, and input of
#              all kinds at what reads it, each for FUZZ_SECONDS; what fails is left in tests/*/findings
#
# The server program itself is not instrumented; it is started with the sanitizer's runtime before
# everything else, and with libstdc++, whose exceptions the runtime has to see.

PYTHON ?= .venv/bin/python
CC ?= cc
SANITIZED := build/asan
SANITIZED_MODULE := $(SANITIZED)/aimodule.so
WITHOUT_DEEPBIND := $(SANITIZED)/without_deepbind.so
MODULE_SOURCE := src/aibench_fast/server/module
FUZZ_SECONDS ?= 60

# Tests read this variable: the module to load, with what to preload beside it.
SANITIZED_RUN = rm -f $(SANITIZED)/report.* && AIBENCH_SANITIZED_MODULE=$(abspath $(SANITIZED_MODULE))
# A report that names our module is a failure, even where the server was over when it came. The
# engine's own leaks are not ours.
NO_REPORTS = ! grep -s -A 20 aimodule $(SANITIZED)/report.*

NATIVE_TESTS = $(PYTHON) -m pytest -q tests/native/test_sanitizers.py

.PHONY: asan ubsan tsan memcheck fuzz runs-asan runs-ubsan runs-tsan

$(SANITIZED_MODULE): $(wildcard $(MODULE_SOURCE)/*.c $(MODULE_SOURCE)/*.h)
	mkdir -p $(SANITIZED)
	$(CC) -std=c11 -O1 -g -D_GNU_SOURCE -fvisibility=hidden -fno-omit-frame-pointer -Wall -Wextra \
	    -fsanitize=address,undefined -fno-sanitize-recover=all -fPIC -shared -pthread \
	    -o $@ $(MODULE_SOURCE)/*.c -ldl -lm

$(WITHOUT_DEEPBIND): tests/server/without_deepbind.c
	mkdir -p $(SANITIZED)
	$(CC) -std=c11 -O1 -g -D_GNU_SOURCE -Wall -Wextra -fPIC -shared -o $@ $< -ldl

runs-asan runs-ubsan runs-tsan: runs-%:
	PYTHONPATH=.:tests $(PYTHON) tests/native/realruns.py $*

ubsan: runs-ubsan
	$(NATIVE_TESTS) -k undefined

tsan: runs-tsan
	$(NATIVE_TESTS) -k 'thread and not undefined'

memcheck:
	$(PYTHON) -m pytest -q tests/native/test_memcheck.py

asan: $(SANITIZED_MODULE) $(WITHOUT_DEEPBIND) runs-asan
	$(NATIVE_TESTS) -k undefined
	$(SANITIZED_RUN) $(PYTHON) -m pytest -q --timeout 600 tests/server
	@$(NO_REPORTS)

fuzz: $(SANITIZED_MODULE) $(WITHOUT_DEEPBIND)
	$(SANITIZED_RUN) $(PYTHON) tests/server/fuzz.py --seconds $(FUZZ_SECONDS)
	@$(NO_REPORTS)
	PYTHONPATH=. $(PYTHON) tests/native/fuzzers.py --seconds $(FUZZ_SECONDS)
	$(PYTHON) tests/fuzz/inputfuzzers.py --seconds $(FUZZ_SECONDS)
