#!/usr/bin/env bash
# Load MobileNet V1 into a RedisAI server. aibench's environment variables:
#   DEVICE=cpu|gpu  BACKEND=TF|TFLITE|ONNX|NULL  BATCHSIZE=<n>
#   DATABASE_HOST  DATABASE_PORT  VISION_MODEL_NAME
# It passes further arguments to `aibench-fast model load`, such as --model-file FILE.
set -euo pipefail

DEVICE=${DEVICE:-cpu}
# Prefer a program on the PATH; otherwise use the environment that `make` creates.
PATH="$PATH:$(dirname "$0")/../.venv/bin"

exec aibench-fast model load \
  --host "${DATABASE_HOST:-localhost}" \
  --port "${DATABASE_PORT:-6379}" \
  --model "${VISION_MODEL_NAME:-mobilenet_v1_100_224_${DEVICE}}" \
  --backend "${BACKEND:-TF}" \
  --device "$DEVICE" \
  --batchsize "${BATCHSIZE:-0}" \
  "$@"
