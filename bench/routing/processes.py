"""Upstreams, `rerankd serve` and LiteLLM's proxy as processes."""

from __future__ import annotations

import contextlib
import http.client
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path

from shared.servers import free_port
from shared.workers import BENCH, environment

UPSTREAM = BENCH / "routing" / "upstream.py"
KEY = "sk-bench-9f8e7d6c5b4a3210"
PATIENCE_S = 180.0


@dataclass(frozen=True, slots=True)
class Upstream:
    """A running upstream.py."""

    process: subprocess.Popen[str]
    port: int

    def tell(self, mode: str = "") -> int:
        """Set how it goes on; gives how many requests came so far."""
        if self.process.stdin is None or self.process.stdout is None:
            raise RuntimeError("started without pipes")
        self.process.stdin.write(f"{mode}\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline().split()[1])


@contextlib.contextmanager
def upstream(documents: int, delay_s: float) -> Generator[Upstream]:
    """One on a free port."""
    command = [sys.executable, str(UPSTREAM), str(documents), str(delay_s)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:  # noqa: S603 - ours
        port = int(process.stdout.readline()) if process.stdout else 0
        yield Upstream(process, port)
        process.kill()


@dataclass(frozen=True, slots=True)
class Proxy:
    """What stands before upstreams: a name, a port, a process with its children."""

    name: str
    port: int
    pid: int

    def cpu_s(self) -> float:
        """User and system seconds so far, those of its children included."""
        ticks, todo = 0, [self.pid]
        while todo:
            pid = todo.pop()
            fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
            for task in Path(f"/proc/{pid}/task").iterdir():
                todo += [int(child) for child in (task / "children").read_text("ascii").split()]
        return ticks / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def _started(
    name: str, command: Sequence[str], port: int, ready: str, **env: str
) -> Generator[Proxy]:
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(  # noqa: S603 - our own command lines
            list(command), stdout=log, stderr=log, env=environment() | env
        )
        try:
            ends = time.monotonic() + PATIENCE_S
            while _status(port, ready) != 200:
                if process.poll() is not None or time.monotonic() > ends:
                    log.seek(0)
                    raise SystemExit(f"{name} is not ready: {log.read()[-3000:].decode()}")
                time.sleep(0.1)
            yield Proxy(name, port, process.pid)
        finally:
            process.terminate()
            process.wait()


@contextlib.contextmanager
def rerankd(config: str, *flags: str) -> Generator[Proxy]:
    """`rerankd serve` with these settings and no log."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rerankd.toml"
        file.write_text(config, "utf-8")
        port = free_port()
        command = [sys.executable, "-m", "rerankd", "serve", "--config", str(file)]
        with _started(
            "rerankd",
            [*command, "--port", str(port), *flags],
            port,
            "/ready",
            UPSTREAM_KEY=KEY,
            RERANKD_API_KEYS=KEY,
        ) as found:
            yield found


@contextlib.contextmanager
def litellm(python: Path, upstream_port: int) -> Generator[Proxy]:
    """LiteLLM's proxy, one worker, before one upstream."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "config.yaml"
        file.write_text(
            "model_list:\n"
            "  - model_name: reranker\n"
            "    litellm_params:\n"
            "      model: jina_ai/reranker\n"
            f"      api_base: http://127.0.0.1:{upstream_port}\n"
            f"      api_key: {KEY}\n"
            "    model_info: {mode: rerank}\n"
            f"general_settings: {{master_key: {KEY}}}\n"
            "litellm_settings: {num_retries: 0, telemetry: false}\n",
            "utf-8",
        )
        port = free_port()
        command = [str(python.with_name("litellm")), "--config", str(file)]
        command += ["--host", "127.0.0.1", "--port", str(port), "--telemetry", "False"]
        with _started(
            "LiteLLM",
            command,
            port,
            "/health/liveliness",
            LITELLM_LOCAL_MODEL_COST_MAP="True",
            LITELLM_MODE="PRODUCTION",
            LITELLM_LOG="ERROR",
            PYTHONPATH="",
        ) as found:
            yield found


def _status(port: int, path: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except OSError:
        return 0
    finally:
        connection.close()
