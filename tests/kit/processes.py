"""Servers as processes of their own, for what only a real process shows."""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Generator, Sequence
from pathlib import Path

PATIENCE_S = 60


class Server:
    """A running server: its URL, its port and its process."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: list[str] = []
        self.url = self._wait_for(r"(http://\S+:\d+)")
        self.port = int(self.url.rpartition(":")[2])

    def _wait_for(self, pattern: str) -> str:
        """The first match in what the server prints."""
        out = self.process.stdout
        assert out is not None
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            ready, _, _ = select.select([out], [], [], 1)
            line = out.readline() if ready else ""
            self.lines.append(line)
            if found := re.search(pattern, line):
                return found[1]
            if ready and not line:
                break
        raise AssertionError(f"no {pattern} in {''.join(self.lines)!r}")

    def stop(self) -> int:
        """SIGTERM, then the exit status."""
        self.process.terminate()
        return self.process.wait(PATIENCE_S)


@contextlib.contextmanager
def serving(
    command: Sequence[str],
    *,
    env: dict[str, str] | None = None,
    log: Path | None = None,
    program: Sequence[str] = (sys.executable,),
) -> Generator[Server]:
    """A server process that said its URL, killed at the end if the test did not stop it."""
    with starting(command, env=env, log=log, program=program) as process:
        yield Server(process)


@contextlib.contextmanager
def starting(
    command: Sequence[str],
    *,
    env: dict[str, str] | None = None,
    log: Path | None = None,
    program: Sequence[str] = (sys.executable,),
) -> Generator[subprocess.Popen[str]]:
    """A process in a group of its own, which is killed at the end with all that it started."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("RERANKD_")}
    errors = log.open("w") if log else None
    process = subprocess.Popen(
        [*program, *command],
        stdout=subprocess.PIPE,
        stderr=errors or subprocess.DEVNULL,
        text=True,
        env=environment | {"PYTHONUNBUFFERED": "1"} | (env or {}),
        start_new_session=True,
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if process.stdout:
            process.stdout.close()
        if errors:
            errors.close()
