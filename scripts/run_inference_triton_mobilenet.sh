#!/usr/bin/env bash
# Benchmark a Triton with the vision model over HTTP (not gRPC): 1, 8, 16 and 24 workers, three times
# each. Results are saved as
# ./results/JSON_triton_<suffix>_<device>_run_<n>_workers_<w>_autobatching_-1_tensorbatchsize_1_rate_<r>.json
# and the output as RAW_... . Runs that are already done are skipped. aibench's environment variables:
#
#   MODELSERVER_HOST  TRITON_PORT  the HTTP port (default: 8000);  DEVICE=cpu|gpu
#   VISION_MODEL_NAME;  OUTPUT_VISION_FILE_NAME  the tensor file;  BULK_DATA_DIR  its folder
#   NUM_VISION_INFERENCES  images a run, warm-up included;  VISION_QUERIES_BURN_IN  images of warm-up
#   RATE_LIMIT  requests a second, 0 for no limit;  SLEEP_BETWEEN_RUNS  in seconds
#   OUTPUT_NAME_SUFIX  a part of the file names;  DEBUG=1  show a traceback if there is an error
# It passes further arguments to `aibench-fast sweep`, such as --workers 1,2, --runs 1 or --dry-run.
set -euo pipefail

# shellcheck source=scripts/vision_options.sh
source "$(dirname "$0")/vision_options.sh"
url=http://${MODELSERVER_HOST:-127.0.0.1}:${TRITON_PORT:-8000}
echo "Benchmarking Triton over HTTP at $url: gRPC, which aibench uses, is not supported"
# One named server, so that its name is in the file names.
aibench-fast sweep --grid <(printf '[[server]]\nname = "triton"\nurl = "%s"\n' "$url") \
  "${options[@]}" "${sweep_options[@]}" --workers 1,8,16,24 --runs 3 "$@"
