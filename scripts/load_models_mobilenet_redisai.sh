#!/usr/bin/env bash
# Loads MobileNet V1 into a RedisAI server, with aibench's environment variables:
#   DEVICE=cpu|gpu  BACKEND=TF|TFLITE|ONNX|NULL  BATCHSIZE=<n>
#   DATABASE_HOST  DATABASE_PORT  VISION_MODEL_NAME
# Further arguments go to `aibench-fast model load`, such as --model-file FILE.
set -euo pipefail

DEVICE=${DEVICE:-cpu}
# After what is on the PATH: the environment that `make` made.
PATH="$PATH:$(dirname "$0")/../.venv/bin"

exec aibench-fast model load \
  --host "${DATABASE_HOST:-localhost}" \
  --port "${DATABASE_PORT:-6379}" \
  --model "${VISION_MODEL_NAME:-mobilenet_v1_100_224_${DEVICE}}" \
  --backend "${BACKEND:-TF}" \
  --device "$DEVICE" \
  --batchsize "${BATCHSIZE:-0}" \
  "$@"
