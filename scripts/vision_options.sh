# What the scripts of vision benchmarks share: aibench's environment variables as options of
# `aibench-fast`. It is sourced, and sets DEVICE, MODEL, BURN_IN_IMAGES, `options` of a run and of a
# sweep, and `sweep_options` beside them.

# After what is on the PATH: the environment that `make` made.
PATH="$PATH:$(dirname "$0")/../.venv/bin"

DEVICE=${DEVICE:-cpu}
MODEL=${VISION_MODEL_NAME:-mobilenet_v1_100_224_${DEVICE}}
BURN_IN_IMAGES=${VISION_QUERIES_BURN_IN:-100}
options=(
  --model "$MODEL"
  --file "${OUTPUT_VISION_FILE_NAME:-${BULK_DATA_DIR:-/tmp/bulk_data}/vision_tensors.out}"
  --max-queries "${NUM_VISION_INFERENCES:-5000}"
  --limit-rps "${RATE_LIMIT:-0}"
)
if [[ "${DEBUG:-0}" != 0 ]]; then
  options+=(--debug)
fi
sweep_options=(
  --device "$DEVICE"
  --burn-in-images "$BURN_IN_IMAGES"
  --suffix "${OUTPUT_NAME_SUFIX:-}"
  --sleep "${SLEEP_BETWEEN_RUNS:-30}s"
)
