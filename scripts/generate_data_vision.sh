#!/usr/bin/env bash
# Write the tensor file from COCO 2017's validation photographs. aibench's environment variables:
#   INPUT_VISION_VAL_DIR  a folder or zip archive of photographs, or `sample`; by default the script
#                         downloads COCO (816 MB) into COCO_DIR
#   OUTPUT_VISION_FILE_NAME  BULK_DATA_DIR  DATA_SEED
# It passes further arguments to `aibench-fast prepare`, such as --limit N or --re-use-factor N.
set -euo pipefail

# Prefer a program on the PATH; otherwise use the environment that `make` creates.
PATH="$PATH:$(dirname "$0")/../.venv/bin"

BULK_DATA_DIR=${BULK_DATA_DIR:-/tmp/bulk_data}
COCO_DIR=${COCO_DIR:-datasets/vision/coco-2017-val}

if [[ -z "${INPUT_VISION_VAL_DIR:-}" ]]; then
  aibench-fast fetch coco --dest "$COCO_DIR"
  INPUT_VISION_VAL_DIR=$COCO_DIR/val2017
fi

exec aibench-fast prepare \
  --input "$INPUT_VISION_VAL_DIR" \
  --output "${OUTPUT_VISION_FILE_NAME:-${BULK_DATA_DIR}/vision_tensors.out}" \
  --random-seed "${DATA_SEED:-12345}" \
  "$@"
