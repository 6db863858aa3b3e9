#!/usr/bin/env bash
# Benchmarks a RedisAI server with the vision model, with aibench's environment variables. Results
# go to ./results/JSON_redisai_<suffix>_<device>_run_<n>_workers_<w>_autobatching_<a>_tensorbatchsize_<t>_rate_<r>.json
# and what was printed to RAW_..., and what is done already is not run again.
#
# TENSOR_BATCHSIZE or NUM_WORKERS alone: one run with that many images a request or workers, of the
# model as it is, whose auto-batching BATCHSIZE says for the file's name.
# Otherwise two sweeps over MIN_CLIENTS to MAX_CLIENTS workers, CLIENTS_STEP apart, each cell
# RUNS_PER_VARIATION times:
#   MIN_BATCHSIZE  MAX_BATCHSIZE  BATCHSIZE_STEP    auto-batching on the server
#   MIN_TENSOR_BATCHSIZE  MAX_TENSOR_BATCHSIZE  TENSOR_BATCHSIZE_STEP    images a request
# In both:
#   DATABASE_HOST  DATABASE_PORT  DEVICE=cpu|gpu  BACKEND=TF|TFLITE|ONNX  VISION_MODEL_NAME
#   OUTPUT_VISION_FILE_NAME  the tensor file;  BULK_DATA_DIR  its folder
#   NUM_VISION_INFERENCES  images a run, burn-in included;  VISION_QUERIES_BURN_IN  images of burn-in
#   RATE_LIMIT  requests a second, 0 for no limit;  SLEEP_BETWEEN_RUNS  in seconds
#   OUTPUT_NAME_SUFIX  a part of the files' names;  DEBUG=1  a traceback where an error ends it
# Further arguments go to `aibench-fast sweep`, such as --allow-flush, --keep-going or --dry-run, or
# to `aibench-fast run` where it is one run.
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
  # The pipe ends with the run's exit code, and Ctrl-C is for the run to see to.
  aibench-fast run "${options[@]}" --workers "$workers" --batch-size "$images" \
    --burn-in $(((BURN_IN_IMAGES + images - 1) / images)) --metadata-autobatching "$batching" \
    --json-out-file "results/JSON_$name.json" "$@" 2>&1 | tee -i "results/RAW_$name.txt"
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
