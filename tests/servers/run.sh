#!/bin/sh
# Compares Infinity, llama.cpp's server and Xinference with rerankd under their prefixes.
# usage: run.sh [HOME=.servers] [--record]     environments are made in HOME once, versions are pinned
set -eu
here=$(cd "$(dirname "$0")" && pwd)
home=${1:-.servers}
[ $# -eq 0 ] || shift
mkdir -p "$home"
home=$(cd "$home" && pwd)

environment() { # name constraints packages-of-torch
    [ -f "$home/$1/made" ] && return
    rm -rf "$home/$1"
    python3.11 -m venv "$home/$1"
    [ -z "$3" ] || "$home/$1/bin/pip" install -q "$3"
    "$home/$1/bin/pip" install -q --no-deps -r "$2"
    touch "$home/$1/made"
}

environment infinity "$here/../../bench/peers/constraints/infinity.txt" torch==2.13.0
environment llamacpp "$here/constraints/llamacpp.txt" ""
environment xinference "$here/constraints/xinference.txt" torch==2.13.0

cd "$here/../.."
export PYTHONPATH=.
status=0
for server in infinity llamacpp xinference; do
    uv run --no-sync --group dev python -m tests.servers.compare "$server" "$home/$server/bin/python" "$@" ||
        status=1
done
[ $# -eq 0 ] || uv run --no-sync --group dev python -m tests.servers.table
exit $status
