#!/usr/bin/env bash
# Real clients against `rerankd serve`, with a right and a wrong key, and against a server that fails; then the snippets of docs/integrations.
# usage: tests/clients/run.sh [CACHE] [--only "NAME;NAME"]; PYTHON has rerankd and its group dev (default: .venv's).
set -euo pipefail
cache=$(mkdir -p "${1:-.clients}" && cd "${1:-.clients}" && pwd)
shift || true
cd "$(dirname "$0")/../.."
here=$PWD/tests/clients
python=${PYTHON:-.venv/bin/python}
command -v uv >/dev/null || pip install -q uv

for pins in "$here"/pins/*.txt; do
  made=$cache/$(basename "$pins" .txt)
  cmp -s "$pins" "$made/pins.txt" && continue
  uv venv -q --clear --python 3.11 "$made"
  # Not from inside the project, whose own constraints are not theirs.
  (cd / && uv pip install -q --no-deps --python "$made/bin/python" -r "$pins")
  cp "$pins" "$made/pins.txt"
done

mkdir -p "$cache/javascript"
if ! cmp -s "$here/pins/package.json" "$cache/javascript/pins.json"; then
  cp "$here/pins/package.json" "$cache/javascript/package.json"
  # What the pinned packages need is what there was on that day: a lock file would name registry hosts.
  day=$(node -p 'require(process.argv[1]).config.before' "$here/pins/package.json")
  (cd "$cache/javascript" && npm install --silent --before "$day" --no-package-lock --no-audit --no-fund --ignore-scripts)
  cp "$here/pins/package.json" "$cache/javascript/pins.json"
fi
cp "$here"/judge.mjs "$here"/javascript/*.mjs "$cache/javascript/"

# The JDK's own client, with its defaults: any JDK, for the source is run as it is.
if ! command -v javac >/dev/null; then
  as_root=$([ "$(id -u)" = 0 ] || echo sudo)
  $as_root apt-get update -qq
  $as_root apt-get install -y -qq --no-install-recommends default-jdk-headless >/dev/null
fi

"$python" "$here/run.py" "$cache" "$@"
exec "$python" "$here/pages.py" "$cache"
