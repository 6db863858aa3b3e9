#!/usr/bin/env bash
# Run `aibench-fast` on a Dask cluster of hosts: start it over SSH with Dask's own `dask ssh`, and stop it after.
# The first host has the scheduler and a worker. All hosts need the same version of `aibench-fast[dask]`, this
# machine also needs paramiko, and logins are by key.
#
#   usage: run_on_hosts.sh "HOST1 HOST2 ..." run|sweep|search OPTION...
#   PORT  the scheduler's port (default: 8786);  REMOTE_PYTHON  python on the hosts (default: python3)
#   WAIT_S  seconds to wait for the hosts (default: 60)
set -euo pipefail
set -m # without it, background jobs ignore SIGINT, which makes Dask stop what it started

if [[ $# -lt 2 ]]; then
  sed -n 's/^#   usage: /usage: /p' "$0" >&2
  exit 2
fi
# Prefer a program on the PATH; otherwise use the environment that `make` creates.
PATH="$PATH:$(dirname "$0")/../.venv/bin"
# The Python that has Dask, which may not be the first on the PATH.
read -r python <"$(command -v aibench-fast)"
python=${python#"#!"}

read -ra hosts <<<"$1"
shift
port=${PORT:-8786}
scheduler=tcp://${hosts[0]}:$port

log=$(mktemp) # Dask prints a lot
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
            sys.exit(f"{scheduler} does not have {count} workers after {wait_s:g} s")
PYTHON

aibench-fast "$@" --dask "$scheduler"
