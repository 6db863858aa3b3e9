#!/usr/bin/env bash
# Benchmark a RedisAI server with the vision model. Results are saved as
# ./results/JSON_redisai_<suffix>_<device>_run_<n>_workers_<w>_autobatching_<a>_tensorbatchsize_<t>_rate_<r>.json
# and the output as RAW_... . Runs that are already done are skipped.
#
# aibench's environment variables:
# With TENSOR_BATCHSIZE (images a request) or NUM_WORKERS, the script makes one run with the loaded
# model; BATCHSIZE is its auto-batching, for the file's name.
# Otherwise it makes two sweeps from MIN_CLIENTS to MAX_CLIENTS workers in steps of CLIENTS_STEP, each
# cell RUNS_PER_VARIATION times:
#   MIN_BATCHSIZE  MAX_BATCHSIZE  BATCHSIZE_STEP    auto-batching on the server
#   MIN_TENSOR_BATCHSIZE  MAX_TENSOR_BATCHSIZE  TENSOR_BATCHSIZE_STEP    images a request
# In both:
#   DATABASE_HOST  DATABASE_PORT  DEVICE=cpu|gpu  BACKEND=TF|TFLITE|ONNX  VISION_MODEL_NAME
#   OUTPUT_VISION_FILE_NAME  the tensor file;  BULK_DATA_DIR  its folder
#   NUM_VISION_INFERENCES  images a run, warm-up included;  VISION_QUERIES_BURN_IN  images of warm-up
#   RATE_LIMIT  requests a second, 0 for no limit;  SLEEP_BETWEEN_RUNS  in seconds
#   OUTPUT_NAME_SUFIX  a part of the file names;  DEBUG=1  show a traceback if there is an error
# It passes further arguments to `aibench-fast sweep`, such as --allow-flush, --keep-going or --dry-run,
# or to `aibench-fast run` for one run.
set -euo pipefail

# shellcheck source=scripts/vision_options.sh
source "$(dirname "$0")/vision_options.sh"
options+=(--host "${DATABASE_HOST:-127.0.0.1}" --port "${DATABASE_PORT:-6379}")

if [[ -n "${TENSOR_BATCHSIZE:-}${NUM_WORKERS:-}" ]]; then
  images=${TENSOR_BATCHSIZE:-1}
  workers=${NUM_WORKERS:-1}
  batching=${BATCHSIZE:-0}
  name=redisai_${OUTPUT_NAME_SUFIX:-}_${DEVICE}_run_1_workers_${workers}_autobatching_${batching}_tensorbatchsize_${images}_rate_${RATE_LIMIT:-0}
  echo "Benchmarking inference performance with $workers workers. Model name $MODEL"
  echo "Saving files with file suffix: $name"
  mkdir -p results
  # The pipe returns the exit code of the run (pipefail), and tee leaves Ctrl-C to the run.
  aibench-fast run "${options[@]}" --workers "$workers" --batch-size "$images" \
    --burn-in $(((BURN_IN_IMAGES + images - 1) / images)) --metadata-autobatching "$batching" \
    --json-out-file "results/JSON_$name.json" \
    --output-file-stats-hdr-response-latency-hist stats-response-latency-hist.txt "$@" 2>&1 | tee -i "results/RAW_$name.txt"
  exit
fi

options+=(
  "${sweep_options[@]}"
  --workers "${MIN_CLIENTS:-1}:${MAX_CLIENTS:-160}:${CLIENTS_STEP:-16}"
  --runs "${RUNS_PER_VARIATION:-3}"
)

# TensorFlow Lite has no auto-batching.
if [[ "${BACKEND:-TF}" != TFLITE ]]; then
  aibench-fast sweep "${options[@]}" \
    --autobatching "${MIN_BATCHSIZE:-0}:${MAX_BATCHSIZE:-50}:${BATCHSIZE_STEP:-10}" "$@"
fi
aibench-fast sweep "${options[@]}" --autobatching 0 \
  --batch-size "${MIN_TENSOR_BATCHSIZE:-0}:${MAX_TENSOR_BATCHSIZE:-50}:${TENSOR_BATCHSIZE_STEP:-10}" "$@"
