#!/usr/bin/env bash
# The LiteLLM proxy in front of `rerankd serve`: costs and fields of every route, as docs/integrations/litellm.md says.
# usage: tests/clients/proxy/run.sh [CACHE] [--write]; not part of CI: some hundred packages, a minute.
set -euo pipefail
cache=$(mkdir -p "${1:-.clients}" && cd "${1:-.clients}" && pwd)
shift || true
cd "$(dirname "$0")/../../.."
python=${PYTHON:-.venv/bin/python}
pins=$PWD/tests/clients/proxy/pins.txt
command -v uv >/dev/null || pip install -q uv
if ! cmp -s "$pins" "$cache/proxy/pins.txt"; then
  uv venv -q --clear --python 3.11 "$cache/proxy"
  (cd / && uv pip install -q --no-deps --python "$cache/proxy/bin/python" -r "$pins")
  cp "$pins" "$cache/proxy/pins.txt"
fi
exec "$python" tests/clients/proxy/run.py "$cache/proxy/bin/python" "$@"
