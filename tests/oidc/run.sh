#!/usr/bin/env bash
# Sign-in to the console by oidc-provider (npm), a certified issuer, on loopback. README.md says what is checked.
# usage: tests/oidc/run.sh [CACHE] [ARGUMENTS of pytest]; PYTHON has rerankd and its group dev (default: .venv's).
set -euo pipefail
cache=$(mkdir -p "${1:-.oidc}" && cd "${1:-.oidc}" && pwd)
shift || true
cd "$(dirname "$0")/../.."
here=$PWD/tests/oidc

if ! cmp -s "$here/package.json" "$cache/pins.json"; then
  cp "$here/package.json" "$cache/package.json"
  # What the pinned package needs is what there was on that day: a lock file would name registry hosts.
  day=$(node -p 'require(process.argv[1]).config.before' "$here/package.json")
  (cd "$cache" && npm install --silent --before "$day" --no-package-lock --no-audit --no-fund --ignore-scripts)
  cp "$here/package.json" "$cache/pins.json"
fi
cp "$here/provider.mjs" "$cache/"
export OIDC_PROVIDER=$cache/provider.mjs
exec "${PYTHON:-.venv/bin/python}" -m pytest "$here/provider_checks.py" "$@"
