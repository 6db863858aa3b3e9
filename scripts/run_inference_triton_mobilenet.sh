#!/usr/bin/env bash
# Benchmarks a Triton with the vision model, with aibench's environment variables, over HTTP: gRPC is
# not spoken. 1, 8, 16 and 24 workers, each three times. Results go to
# ./results/JSON_triton_<suffix>_<device>_run_<n>_workers_<w>_autobatching_-1_tensorbatchsize_1_rate_<r>.json
# and what was printed to RAW_..., and what is done already is not run again.
#
#   MODELSERVER_HOST  TRITON_PORT  its HTTP port, 8000 unless said otherwise;  DEVICE=cpu|gpu
#   VISION_MODEL_NAME;  OUTPUT_VISION_FILE_NAME  the tensor file;  BULK_DATA_DIR  its folder
#   NUM_VISION_INFERENCES  images a run, burn-in included;  VISION_QUERIES_BURN_IN  images of burn-in
#   RATE_LIMIT  requests a second, 0 for no limit;  SLEEP_BETWEEN_RUNS  in seconds
#   OUTPUT_NAME_SUFIX  a part of the files' names;  DEBUG=1  a traceback where an error ends it
# Further arguments go to `aibench-fast sweep`, such as --workers 1,2, --runs 1 or --dry-run.
set -euo pipefail

# shellcheck source=scripts/vision_options.sh
source "$(dirname "$0")/vision_options.sh"
url=http://${MODELSERVER_HOST:-127.0.0.1}:${TRITON_PORT:-8000}
echo "Asking Triton over HTTP at $url: gRPC, aibench's way to it, is not spoken"
# One server of a name, which is in the files' names.
aibench-fast sweep --grid <(printf '[[server]]\nname = "triton"\nurl = "%s"\n' "$url") \
  "${options[@]}" "${sweep_options[@]}" --workers 1,8,16,24 --runs 3 "$@"
