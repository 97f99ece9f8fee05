"""A cluster of Ray on this machine, what callers send to it, and who counts their answers."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, Self

PATIENCE_S = 600.0  # for what must happen, on a machine ten times slower
URL = "http://127.0.0.1:8000"
_DASHBOARD = "http://127.0.0.1:8265"
_DRAINING_S = "3"  # Serve's own 30 s are for load balancers that look rarely


class Cluster:
    """A head node, and rerankd's command for it."""

    def __init__(self, folder: Path, process: subprocess.Popen[bytes]) -> None:
        self.folder = folder
        self.process = process
        self.config = folder / "rerankd.toml"
        self.environment: dict[str, str] = {}

    def rerankd(self, *words: str) -> str:
        """What a command prints; it must end well."""
        done = subprocess.run(
            [sys.executable, "-m", "rerankd", *words],
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        return done.stdout

    def deploy(self, *flags: str) -> str:
        """Have the settings' file served."""
        return self.rerankd("ray", "deploy", "--config", str(self.config), *flags)

    def replicas(self) -> dict[int, str]:
        """Process -> state, of those that there are."""
        app = _get("/api/serve/applications/")["applications"]["rerankd"]
        found = app["deployments"]["rerankd"]["replicas"]
        return {each["pid"]: each["state"] for each in found if each.get("pid")}

    def events(self, name: str) -> list[dict[str, Any]]:
        """Events of one name, of all replicas that there were."""
        found: list[dict[str, Any]] = []
        for file in self.folder.glob("t/session_latest/logs/worker-*.err"):
            lines = [line for line in file.read_text().splitlines() if line.startswith("{")]
            found += [json.loads(line) for line in lines if line.endswith("}")]
        return [each for each in found if each.get("event") == name]


@contextlib.contextmanager
def cluster() -> Generator[Cluster]:
    """A head node that can do what one machine does, with nothing deployed."""
    folder = Path(tempfile.mkdtemp(prefix="rr", dir="/tmp"))  # a socket's path must be short
    haproxy = folder / "ha"
    haproxy.mkdir()
    environment = {
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": _DRAINING_S,
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(haproxy / "haproxy.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(haproxy / "admin.sock"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(haproxy),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(haproxy / "server-state"),
        "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": str(haproxy / "metrics.sock"),
        "RAY_USAGE_STATS_ENABLED": "0",
    }
    start = ["ray", "start", "--head", "--block", "--disable-usage-stats"]
    start += ["--node-ip-address", "127.0.0.1", "--dashboard-host", "127.0.0.1"]
    start += ["--num-cpus", "4", "--object-store-memory", "100000000"]
    start += ["--temp-dir", str(folder / "t")]
    log = (folder / "ray.log").open("wb")
    process = subprocess.Popen(
        start, env=os.environ | environment, stdout=log, stderr=log, start_new_session=True
    )
    try:
        until(_is_up)
        yield Cluster(folder, process)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        log.close()
        shutil.rmtree(folder, ignore_errors=True)


def _is_up() -> bool:
    try:
        return "applications" in _get("/api/serve/applications/")
    except (OSError, ValueError, http.client.HTTPException):
        return False


def _get(path: str) -> Any:
    connection = http.client.HTTPConnection(_DASHBOARD.removeprefix("http://"), timeout=30)
    try:
        connection.request("GET", path)
        return json.loads(connection.getresponse().read())
    finally:
        connection.close()


def until(condition: Callable[[], bool], every_s: float = 0.2) -> None:
    """Wait for something that must happen."""
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end
        time.sleep(every_s)


class Callers:
    """Threads that ask one after the other, each over a connection of its own, until the end."""

    def __init__(self, url: str, key: str, body: bytes, *, count: int = 4) -> None:
        self._host = url.removeprefix("http://")
        self._headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
        self._body = body
        self._ended = threading.Event()
        self.ends: Counter[str] = Counter()  # "200", another status, or what was raised
        self.longest_s = 0.0
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._call) for _ in range(count)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    @property
    def answered(self) -> int:
        """How many have a 200."""
        return self.ends["200"]

    @property
    def failed(self) -> dict[str, int]:
        """How the others ended."""
        return {end: count for end, count in self.ends.items() if end != "200"}

    def _call(self) -> None:
        connection = http.client.HTTPConnection(self._host, timeout=PATIENCE_S)
        while not self._ended.is_set():
            started = time.monotonic()
            try:
                connection.request("POST", "/v1/rerank", self._body, self._headers)
                answer = connection.getresponse()
                text = answer.read()
                end = str(answer.status) if answer.status == 200 else f"{answer.status} {text!r}"
            except (OSError, http.client.HTTPException) as error:
                end = type(error).__name__
                connection.close()
            with self._lock:
                self.ends[end] += 1
                self.longest_s = max(self.longest_s, time.monotonic() - started)
        connection.close()
