#!/usr/bin/env bash
# Builds deploy/Containerfile with Buildah on a Debian made here, then runs it as it is meant to be run: read-only,
# as its user, without capabilities or network. As root, on Debian; some minutes.
# usage: tests/deploy/image.sh [FOLDER for the images; default: one that is gone afterwards]
# An authority of your own for TLS, in SSL_CERT_FILE, is used while it is built.
set -euo pipefail
cd "$(dirname "$0")/../.."
work=${1:-$(mktemp -d)}
work=$(mkdir -p "$work" && cd "$work" && pwd)
[ "$(id -u)" = 0 ] || { echo "image.sh: only root can make a Debian to build on" >&2; exit 1; }
if ! command -v buildah mmdebstrap >/dev/null; then
  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends buildah mmdebstrap >/dev/null
fi
image() { buildah --storage-driver "${IMAGE_STORE:-overlay}" --root "$work/images" --runroot "$work/run" "$@"; }
made=""
clean() {
  [ -z "$made" ] || { image umount "$made" && image rm "$made"; } >/dev/null
  [ -n "${1:-}" ] || { image rmi --all --force >/dev/null 2>&1 || true; rm -rf "$work"; }
}
trap 'clean "'"${1:-}"'"' EXIT

if ! image inspect --type image debian:bookworm-slim >/dev/null 2>&1; then
  for kept in man locale doc; do left+=(--dpkgopt="path-exclude=/usr/share/$kept/*"); done
  mmdebstrap --quiet --variant=minbase "${left[@]}" bookworm "$work/debian.tar"
  base=$(image from scratch)
  image add --quiet "$base" "$work/debian.tar" >/dev/null
  [ -z "${SSL_CERT_FILE:-}" ] || image config --env PIP_CERT=/authority.pem --env SSL_CERT_FILE=/authority.pem "$base"
  image commit --quiet --rm "$base" localhost/debian:bookworm-slim >/dev/null
  rm "$work/debian.tar"
fi
authority=()
[ -z "${SSL_CERT_FILE:-}" ] || authority=(--volume "$SSL_CERT_FILE:/authority.pem:ro")
image build --isolation chroot --network host --pull-never --layers "${authority[@]}" \
  --file deploy/Containerfile --tag rerankd:check . 2>&1 | grep -E '^\[|STEP|rror' || true
made=$(image from --pull-never rerankd:check)
root=$(image mount "$made")
image images --format '{{.Name}} {{.Size}}' | grep rerankd

# In namespaces of its own, with nothing of the image writable but what compose and the manifests let it write.
cat > "$work/inside" <<INSIDE
set -e
mount --make-rprivate /
mount --bind "$root" "$root" && mount -o remount,bind,ro "$root"
mount -t proc proc "$root/proc"
mount -t tmpfs -o nosuid,nodev,mode=1777 tmpfs "$root/tmp"
mount -t tmpfs -o nosuid,nodev,uid=10001,gid=10001,mode=0700 tmpfs "$root/var/lib/rerankd"
mount -t tmpfs tmpfs "$root/dev"
for each in null random urandom zero; do touch "$root/dev/\$each"; mount --bind "/dev/\$each" "$root/dev/\$each"; done
ip link set lo up
exec chroot "$root" /usr/bin/env -i PATH=/opt/rerankd/bin:/usr/bin:/bin HOME=/var/lib/rerankd PYTHONUNBUFFERED=1 \
  RERANKD_API_KEYS=0123456789abcdef0123456789abcdef RERANKD_STORE_URL=sqlite:////var/lib/rerankd/rerankd.db \
  /usr/bin/setpriv --reuid 10001 --regid 10001 --clear-groups --no-new-privs --bounding-set=-all --inh-caps=-all -- \
  rerankd serve --host 0.0.0.0
INSIDE
unshare --mount --pid --fork --kill-child --net --ipc --uts bash "$work/inside" > "$work/log" 2>&1 &
outer=$!
for _ in $(seq 300); do
  grep -q ' on http' "$work/log" && break
  kill -0 "$outer" 2>/dev/null || { cat "$work/log" >&2; exit 1; }
  sleep 0.2
done
server=$(pgrep -P "$outer")
nsenter --target "$server" --mount --pid --net --root --wd \
  /usr/bin/setpriv --reuid 10001 --regid 10001 --clear-groups --no-new-privs -- /usr/bin/python3 - <<'ASK'
import json
import pathlib
import urllib.request

body = {"query": "capital of France", "documents": ["Berlin", "Paris is the capital of France"]}
headers = {"authorization": "Bearer 0123456789abcdef0123456789abcdef", "content-type": "application/json"}
asked = urllib.request.Request("http://127.0.0.1:8000/v1/rerank", json.dumps(body).encode(), headers)
results = json.load(urllib.request.urlopen(asked, timeout=60))["results"]
assert [each["index"] for each in results] == [1, 0], results
status = dict(line.split(":\t", 1) for line in pathlib.Path("/proc/1/status").read_text().splitlines())
assert status["Uid"].split() == ["10001"] * 4, status["Uid"]
assert all(int(status[f"Cap{kind}"], 16) == 0 for kind in ("Inh", "Prm", "Eff", "Bnd", "Amb"))
assert status["NoNewPrivs"] == "1"
for folder in ("/", "/etc", "/opt/rerankd", "/usr", "/var/log"):
    try:
        pathlib.Path(folder, "x").touch()
    except OSError:
        continue
    raise SystemExit(f"{folder} can be written")
print("it ranks as 10001, without a capability, and writes where it may; resident:", status["VmRSS"].strip())
ASK
kill -TERM "$server"
wait "$outer" && echo "it ended with status 0"
