#!/usr/bin/env bash
# schemathesis against `rerankd serve`: every operation of /openapi.json. README.md says what is checked.
# usage: tests/schema/run.sh [CACHE]; PYTHON has rerankd (default: .venv's).
set -euo pipefail
cache=$(mkdir -p "${1:-.schema}" && cd "${1:-.schema}" && pwd)
cd "$(dirname "$0")/../.."
pins=$PWD/tests/schema/pins.txt
command -v uv >/dev/null || pip install -q uv

if ! cmp -s "$pins" "$cache/pins.txt"; then
  uv venv -q --clear --python 3.11 "$cache/venv"
  # Not from inside the project, whose own constraints are not schemathesis'.
  (cd / && uv pip install -q --no-deps --python "$cache/venv/bin/python" -r "$pins")
  cp "$pins" "$cache/pins.txt"
fi

exec "${PYTHON:-.venv/bin/python}" tests/schema/run.py "$cache/venv/bin/schemathesis"
