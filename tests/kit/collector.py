"""A collector of traces on loopback: it decodes what comes as OTLP, and keeps it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Generator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


class Collector:
    """What came."""

    def __init__(self) -> None:
        self.spans: list[Any] = []  # of OTLP's own types
        self.resources: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.status = 200  # what is answered
        self.url = ""

    def named(self, name: str) -> Any:
        """The one span of a name."""
        (found,) = [each for each in self.spans if each.name == name]
        return found

    def take(self, headers: dict[str, str], body: bytes) -> None:
        """One request."""
        self.headers.append(headers)
        sent: Any = ExportTraceServiceRequest.FromString(body)
        for each in sent.resource_spans:
            self.resources.append(attributes(each.resource))
            for scope in each.scope_spans:
                self.spans += scope.spans


def attributes(of: Any) -> dict[str, Any]:
    """As a dictionary; of a list the strings in it."""
    found: dict[str, Any] = {}
    for each in of.attributes:
        kind = each.value.WhichOneof("value")
        value = getattr(each.value, kind)
        if kind == "array_value":
            value = [item.string_value for item in value.values]
        found[each.key] = value
    return found


@contextlib.contextmanager
def collecting() -> Generator[Collector]:
    """A collector at its `url`."""
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            if collector.status == 200:
                collector.take(headers, body)
            self.send_response(collector.status)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        collector.url = f"http://127.0.0.1:{server.server_address[1]}/v1/traces"
        yield collector
        server.shutdown()
        thread.join()
