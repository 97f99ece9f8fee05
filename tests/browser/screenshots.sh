#!/usr/bin/env bash
# Pictures of every page of the playground and the console: 360 and 1440 px wide, light and dark.
# usage: tests/browser/screenshots.sh OUT [CACHE]
set -euo pipefail
out=$(mkdir -p "$1" && cd "$1" && pwd)
cache=$(mkdir -p "${2:-.browser}" && cd "${2:-.browser}" && pwd)
cd "$(dirname "$0")/../.."
source tests/browser/environment.sh

exec "$cache/venv/bin/python" tests/browser/driven/screenshots.py "$out"
