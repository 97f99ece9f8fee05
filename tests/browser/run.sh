#!/usr/bin/env bash
# The playground and the console in Chromium: tasks, accessibility, policy, hostile names. README.md says what is checked.
# usage: tests/browser/run.sh [CACHE] [ARGUMENTS of pytest, in driven/]; PYTHON has rerankd and its group dev (default: .venv's).
set -euo pipefail
cache=$(mkdir -p "${1:-.browser}" && cd "${1:-.browser}" && pwd)
shift || true
cd "$(dirname "$0")/../.."
source tests/browser/environment.sh

cd tests/browser/driven
exec "$cache/venv/bin/python" -m pytest -c pytest.ini --rootdir . "$@"
