# Shared by the vision benchmarks, which source it: translates aibench's environment variables to
# options of `aibench-fast`. Sets DEVICE, MODEL, BURN_IN_IMAGES, `options` (for runs and sweeps) and
# `sweep_options` (for sweeps only).

# Prefer a program on the PATH; otherwise use the environment that `make` creates.
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
