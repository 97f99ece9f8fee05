#!/usr/bin/env bash
# Ray Serve with two replicas on this machine: updates, a killed replica, limits, ids. README.md says what is checked.
# usage: tests/cluster/run.sh [CACHE] [ARGUMENTS of pytest, in driven/]
set -euo pipefail
cache=$(mkdir -p "${1:-.cluster}" && cd "${1:-.cluster}" && pwd)
shift || true
cd "$(dirname "$0")/driven"
exec ../inside.sh "$cache" python -m pytest -c pytest.ini --rootdir . "$@"
