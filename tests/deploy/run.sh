#!/usr/bin/env bash
# The files of deploy/ and the wheel, read by the programs that they are for. README.md says what is checked.
# usage: tests/deploy/run.sh [CACHE] [ARGUMENTS of pytest, in tools/]; PYTHON has rerankd and its group dev (default: .venv's).
set -euo pipefail
cache=$(mkdir -p "${1:-.deploy}" && cd "${1:-.deploy}" && pwd)
shift || true
cd "$(dirname "$0")/../.."
here=$PWD/tests/deploy
python=$(realpath -s "${PYTHON:-.venv/bin/python}")
command -v uv >/dev/null || pip install -q uv

# Debian's packages.
missing=()
for each in haproxy:haproxy nginx:nginx-light openssl:openssl systemd-analyze:systemd; do
  command -v "${each%:*}" >/dev/null || missing+=("${each#*:}")
done
if [ ${#missing[@]} -gt 0 ]; then
  as_root=$([ "$(id -u)" = 0 ] || echo sudo)
  $as_root apt-get update -qq
  DEBIAN_FRONTEND=noninteractive $as_root apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

if ! cmp -s "$here/pins.txt" "$cache/pins.txt"; then
  uv venv -q --clear --python 3.11 "$cache/venv"
  # Not from inside the project, whose own constraints are not theirs.
  (cd / && uv pip install -q --no-deps --python "$cache/venv/bin/python" -r "$here/pins.txt")
  cp "$here/pins.txt" "$cache/pins.txt"
fi
mkdir -p "$cache/node"
if ! cmp -s "$here/package.json" "$cache/node/pins.json"; then
  cp "$here/package.json" "$cache/node/package.json"
  # What the pinned package needs is what there was on that day: a lock file would name registry hosts.
  day=$(node -p 'require(process.argv[1]).config.before' "$here/package.json")
  (cd "$cache/node" && npm install --silent --before "$day" --no-package-lock --no-audit --no-fund --ignore-scripts)
  cp "$here/package.json" "$cache/node/pins.json"
fi

export DEPLOY_TOOLS=$cache
exec "$python" -m pytest -c "$here/tools/pytest.ini" --rootdir "$here/tools" "$here/tools" "$@"
