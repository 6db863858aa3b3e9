#!/usr/bin/env bash
# Runs `aibench-fast` over a Dask cluster of hosts that it starts by SSH, with Dask's own `dask ssh`, and stops.
# The first host has the scheduler and a worker. `aibench-fast[dask]` is installed on all, of one version, and
# paramiko here; logins are by key.
#
#   usage: run_on_hosts.sh "HOST1 HOST2 ..." run|sweep|search OPTION...
#   PORT  the scheduler's, 8786 unless said otherwise;  REMOTE_PYTHON  python on the hosts, python3
#   unless said otherwise;  WAIT_S  how long hosts may take to come up, 60 unless said otherwise
set -euo pipefail
set -m # or what runs in the background would not hear SIGINT, by which Dask stops what it started

if [[ $# -lt 2 ]]; then
  sed -n 's/^#   usage: /usage: /p' "$0" >&2
  exit 2
fi
# After what is on the PATH: the environment that `make` made.
PATH="$PATH:$(dirname "$0")/../.venv/bin"
# The Python that has Dask, which need not be the first.
read -r python <"$(command -v aibench-fast)"
python=${python#"#!"}

read -ra hosts <<<"$1"
shift
port=${PORT:-8786}
scheduler=tcp://${hosts[0]}:$port

log=$(mktemp) # of Dask, which tells much
dask ssh --scheduler-port "$port" --nthreads 1 --memory-limit 0 \
  --remote-python "${REMOTE_PYTHON:-python3}" "${hosts[@]}" >"$log" 2>&1 &
cluster=$!
trap 'kill -INT "$cluster" 2>/dev/null; wait "$cluster" 2>/dev/null || true; rm -f "$log"' EXIT

"$python" - "$scheduler" "${#hosts[@]}" "${WAIT_S:-60}" <<'PYTHON' || { tail -n 20 "$log" >&2; exit 3; }
import sys
import time
from distributed import Client

scheduler, count, wait_s = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
until_s = time.monotonic() + wait_s
while True:
    try:
        with Client(scheduler, timeout=1, set_as_default=False) as client:
            client.wait_for_workers(count, timeout=max(1, until_s - time.monotonic()))
            break
    except OSError:
        if time.monotonic() > until_s:
            sys.exit(f"{scheduler} has not {count} workers after {wait_s:g} s")
PYTHON

aibench-fast "$@" --dask "$scheduler"
