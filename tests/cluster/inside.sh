#!/usr/bin/env bash
# Runs a command in a network of its own, with Ray, this checkout and a PostgreSQL: tests/cluster/inside.sh CACHE CMD…
set -euo pipefail
cache=$(mkdir -p "$1" && cd "$1" && pwd)
shift
here=$(cd "$(dirname "$0")" && pwd)
(cd "$here/../.." && source "$here/environment.sh")

# Ray's replicas and HAProxy's statistics listen on all interfaces, whatever they are told. Here they get one: the loopback of
# a namespace of their own. When its first process ends, so do all of Ray's.
apart=(--net --pid --fork --kill-child --mount-proc)
if [ "$(id -u)" != 0 ]; then apart+=(--map-current-user --keep-caps); fi
if unshare "${apart[@]}" true 2> /dev/null; then
  enter=(unshare "${apart[@]}" python3 "$here/loopback.py")
elif [ "${RERANKD_CLUSTER_IN_THE_OPEN:-}" = 1 ]; then
  enter=()
else
  cat >&2 <<'WORDS'
This machine gives no network namespace, and Ray would listen on all of its interfaces. Behind a firewall that lets nobody in:
    RERANKD_CLUSTER_IN_THE_OPEN=1 tests/cluster/run.sh
WORDS
  exit 77
fi

"$here/../../.ci/with_postgresql" true # installed, while there is a network
export PATH=$cache/venv/bin:$PATH
exec "${enter[@]}" "$here/../../.ci/with_postgresql" "$@"
