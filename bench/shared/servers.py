"""Servers as processes: start one, wait until it is ready, load it, read the CPU time it used."""

from __future__ import annotations

import http.client
import json
import os
import queue
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from rerankd.measure.workload import Request
from shared.workers import environment

PATIENCE_S = 180.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What a burst of requests cost."""

    pairs: int
    wall_s: float
    server_cpu_s: float
    latency_s: tuple[float, ...]


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """A rerank server that takes {query, documents} at `path`."""

    def __init__(self, command: Sequence[str], *, port: int, path: str, ready: str) -> None:
        """Start it and wait until GET `ready` is 200; ready_s says how long that took."""
        self._port, self._path = port, path
        started = time.perf_counter()
        self._process = subprocess.Popen(  # noqa: S603 - our own command lines
            list(command),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=environment() | {"DO_NOT_TRACK": "1", "INFINITY_ANONYMOUS_USAGE_STATS": "0"},
        )
        while self._status(ready) != 200:
            if self._process.poll() is not None or time.perf_counter() - started > PATIENCE_S:
                self._process.kill()
                raise RuntimeError(f"not ready: {' '.join(command)}")
            time.sleep(0.01)
        self.ready_s = time.perf_counter() - started

    def cpu_s(self) -> float:
        """User and system seconds of the process and its children so far, from /proc."""
        ticks, todo = 0, [self._process.pid]
        while todo:
            pid = todo.pop()
            fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
            for task in Path(f"/proc/{pid}/task").iterdir():
                todo += [int(child) for child in (task / "children").read_text("ascii").split()]
        return ticks / os.sysconf("SC_CLK_TCK")

    def load(self, requests: Sequence[Request], *, clients: int) -> Load:
        """Send all requests from so many clients, each with one connection it keeps."""
        waiting: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        for request in requests:
            body = {"query": request.query, "documents": request.documents}
            waiting.put(json.dumps(body).encode())
        for _ in range(clients):
            waiting.put(None)
        cpu, started = self.cpu_s(), time.perf_counter()
        with ThreadPoolExecutor(clients) as pool:
            taken = [t for each in pool.map(self._client, [waiting] * clients) for t in each]
        return Load(
            pairs=sum(len(request.documents) for request in requests),
            wall_s=time.perf_counter() - started,
            server_cpu_s=self.cpu_s() - cpu,
            latency_s=tuple(taken),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """SIGTERM, and SIGKILL when that does not end it."""
        self._process.terminate()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()

    def _client(self, waiting: queue.SimpleQueue[bytes | None]) -> list[float]:
        """Seconds of each request that this client sent."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE_S)
        taken: list[float] = []
        while (body := waiting.get()) is not None:
            started = time.perf_counter()
            connection.request("POST", self._path, body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            text = answer.read()
            if answer.status != 200:
                raise RuntimeError(f"{self._path}: {answer.status} {text[:200]!r}")
            taken.append(time.perf_counter() - started)
        connection.close()
        return taken

    def _status(self, path: str) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=5)
        try:
            connection.request("GET", path)
            return connection.getresponse().status
        except OSError:
            return 0
        finally:
            connection.close()


def rerankd(folder: Path, precision: str) -> Server:
    """`rerankd serve` of this checkout."""
    port = free_port()
    settings = f'models = ["{folder}"]\n[model."{folder}"]\nprecision = "{precision}"\n'
    with tempfile.NamedTemporaryFile("w", suffix=".toml") as config:
        config.write(settings)
        config.flush()
        flags = ["--port", str(port), "--config", config.name]
        command = [sys.executable, "-m", "rerankd", "serve", *flags]
        return Server(command, port=port, path="/v1/rerank", ready="/ready")


def infinity(python: Path, folder: Path) -> Server:
    """infinity's server on torch, as its README starts it, without its warm-up."""
    port = free_port()
    command = [
        *(str(python.parent / "infinity_emb"), "v2", "--model-id", str(folder)),
        *("--engine", "torch", "--device", "cpu", "--host", "127.0.0.1", "--port", str(port)),
        *("--no-bettertransformer", "--no-model-warmup"),
    ]
    return Server(command, port=port, path="/rerank", ready="/health")
