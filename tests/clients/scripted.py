"""A server that fails as a script says, in front of a real one that gives the right answers.

Which script is in the key: `sk-right-3.503` is the third client's, whose first calls are answered
with 503. What arrived is kept by key, for manners.py. Probes (GET) are passed on.
"""

from __future__ import annotations

import contextlib
import http.client
import http.server
import io
import json
import re
import socket
import struct
import threading
import time
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any, cast

FAILURES = 5  # then comes the right answer: who asks so often has asked often enough
WAIT_S = 4  # of Retry-After: longer than most clients wait by themselves
PREFIX = "/at"  # of the base URL: not in what arrives from who throws its path away
MARK = 700_000  # numbers above stand for those of the answer, no two the same
KEY = re.compile(r"(sk-right-\d+)\.([\w-]+)")
KEY_BEHIND = "sk-scripted-right"  # what the real server is asked with
TEXT = "Scripted."
FAILED = json.dumps({"message": TEXT, "detail": TEXT, "error": {"message": TEXT}}).encode()
# Of one hop; and nothing is to be compressed.
DROPPED = {"host", "connection", "content-length", "accept-encoding", "upgrade", "http2-settings"}


@dataclass(frozen=True)
class Script:
    """What the first calls get; `times` of them."""

    status: int  # 0: the connection is reset
    times: int = FAILURES
    headers: dict[str, str] = field(default_factory=dict[str, str])


SCRIPTS = {
    "answer": Script(200, times=0),
    **{str(status): Script(status) for status in (413, 429, 500, 503, 504)},
    "504-final": Script(504, headers={"x-should-retry": "false"}),
    **{
        f"{status}-wait": Script(status, times=1, headers={"Retry-After": str(WAIT_S)})
        for status in (429, 503)
    },
    "reset": Script(0),
}


@dataclass
class Call:
    """A request that arrived."""

    method: str
    path: str  # without PREFIX
    kept_path: bool
    key: str  # the header that has it, with KEY in its place
    body: Any
    at: float  # s, when it had arrived
    answered: float = 0.0  # s, when its answer began
    answer: Any = None  # the right one as it was sent


class Scripted(http.server.ThreadingHTTPServer):
    """Calls by key and script; `upstream` is the port of the real server."""

    daemon_threads = True

    def __init__(self, upstream: int) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.upstream = upstream
        self.calls: dict[tuple[str, str], list[Call]] = {}
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}{PREFIX}"

    def calls_of(self, key: str) -> dict[str, list[Call]]:
        """By script, in the order of arrival."""
        with self._lock:
            return {script: calls for (whose, script), calls in self.calls.items() if whose == key}

    def note(self, key: str, script: str, call: Call) -> int:
        """How many calls of this script, without probes, came before."""
        with self._lock:
            calls = self.calls.setdefault((key, script), [])
            calls.append(call)
            return sum(c.method == "POST" for c in calls[:-1])


class Handler(http.server.BaseHTTPRequestHandler):
    """One request for a connection: none is asked on one that is just being closed."""

    protocol_version = "HTTP/1.1"

    @property
    def scripted(self) -> Scripted:
        """Its server."""
        return cast("Scripted", self.server)

    def do_GET(self) -> None:
        self._handle()

    def do_POST(self) -> None:
        self._handle()

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing is printed."""

    def _handle(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        given = {n: v for n, v in self.headers.items() if n.lower() not in DROPPED}
        named = next(((n, v, m) for n, v in given.items() if (m := KEY.search(v))), None)
        if named is None:  # some probe before they say who they are
            self._send(*self._right(self.path.removeprefix(PREFIX), body, given))
            return
        name, value, found = named
        path = self.path.removeprefix(PREFIX)
        call = Call(
            method=self.command,
            path=path,
            kept_path=path != self.path,
            key=f"{name.title()}: {KEY.sub('KEY', value)}",
            body=json.loads(body) if body else None,
            at=time.monotonic(),
        )
        key, script = found.groups()
        before = self.scripted.note(key, script, call)
        todo = SCRIPTS.get(script, SCRIPTS["answer"])
        if call.method == "POST" and before < todo.times:
            call.answered = time.monotonic()
            self._fail(todo)
            return
        behind = {**given, name: value.replace(found[0], KEY_BEHIND)}
        status, answer = self._right(path, body, behind)
        if call.method == "POST" and status == 200:
            answer = json.dumps(marked(json.loads(answer))).encode()
            call.answer = json.loads(answer)
        self._send(status, answer)

    def _right(self, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
        upstream = http.client.HTTPConnection("127.0.0.1", self.scripted.upstream, timeout=60)
        with contextlib.closing(upstream):
            upstream.request(self.command, path, body or None, headers)
            answer = upstream.getresponse()
            return answer.status, answer.read()

    def _fail(self, script: Script) -> None:
        if script.status:
            self._send(script.status, FAILED, script.headers)
            return
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.rfile.close()
        self.wfile.close()
        self.connection.close()
        self.wfile = io.BytesIO()  # the base class flushes it

    def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        with contextlib.suppress(ConnectionError):
            self.send_response(status)
            length = {"Content-Type": "application/json", "Content-Length": str(len(body))}
            for name, value in {**length, "Connection": "close", **(headers or {})}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)


def marked(answer: Any, used: list[int] | None = None, name: str = "") -> Any:
    """An answer each of whose whole numbers, but for indexes, is found nowhere else."""
    used = [MARK] if used is None else used
    if isinstance(answer, dict):
        return {n: marked(v, used, n) for n, v in cast("dict[str, Any]", answer).items()}
    if isinstance(answer, list):
        return [marked(v, used, name) for v in cast("list[Any]", answer)]
    if isinstance(answer, int) and not isinstance(answer, bool) and name != "index":
        used[0] += 1
        return used[0]
    return answer


@contextlib.contextmanager
def scripted(upstream: int) -> Generator[Scripted]:
    """A running one."""
    with Scripted(upstream) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
