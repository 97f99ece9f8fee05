"""A `rerankd serve` of any checkout as a process: where it listens, what it uses, how it ends."""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_START_S = 180.0


@dataclass(frozen=True)
class Usage:
    """What a process uses: CPU seconds of all threads and of the event loop's, MiB, counts."""

    cpu_s: float
    loop_cpu_s: float
    rss_mb: float
    peak_mb: float
    threads: int
    fds: int


@dataclass
class Server:
    """A running server. `launcher` may be uv; `pid` is the process that listens."""

    launcher: subprocess.Popen[str]
    pid: int
    port: int
    home: Path
    config: Path
    log: Path
    command: list[str] = field(default_factory=list[str])

    def usage(self) -> Usage:
        """From /proc."""
        proc = Path(f"/proc/{self.pid}")
        cpu: dict[int, float] = {}
        for task in (proc / "task").iterdir():
            with contextlib.suppress(OSError):  # a thread that just ended
                cpu[int(task.name)] = int((task / "schedstat").read_text().split()[0]) / 1e9
        lines = (proc / "status").read_text().splitlines()
        said = dict(line.split(":", 1) for line in lines)
        rss, peak = (int(said[name].split()[0]) / 1024 for name in ("VmRSS", "VmHWM"))
        fds = len(list((proc / "fd").iterdir()))
        return Usage(sum(cpu.values()), cpu.get(self.pid, 0.0), rss, peak, len(cpu), fds)

    def forget_peak(self) -> None:
        """The next peak_mb counts from now."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    def events(self, *levels: str) -> list[str]:
        """Lines of the log at these levels."""
        lines = self.log.read_text(errors="replace").splitlines()
        return [line for line in lines if any(f'"level":"{level}"' in line for level in levels)]

    def wait(self, patience_s: float) -> int | None:
        """The exit status, or None when it is still running after so long."""
        try:
            return self.launcher.wait(patience_s)
        except subprocess.TimeoutExpired:
            return None


def program(source: Path | None) -> list[str]:
    """The command of this checkout, or of another one's virtual environment."""
    if source is None:
        return [sys.executable, "-m", "rerankd"]
    found = source / ".venv" / "bin" / "rerankd"
    if not found.exists():
        raise SystemExit(f"{found}: no such program; run `uv sync` there")
    return [str(found)]


def knows(command: Sequence[str], setting: str) -> bool:
    """Whether that server has a setting; an earlier one would not start with it."""
    listed = subprocess.run(  # noqa: S603 - our own program
        [*command, "config"], capture_output=True, text=True, check=False, timeout=_START_S
    )
    return setting in listed.stdout


@contextlib.contextmanager
def serving(
    command: Sequence[str],
    model: str = "rerankd-mini",
    *,
    config: str = "",
    port: int = 0,
    home: Path | None = None,
    before: Sequence[str] = (),
) -> Generator[Server]:
    """A server with default settings, unless `config` (TOML) says more, in a home of its own.

    `before` is put in front of the command (`uv run …`). It is killed at the end.
    """
    with tempfile.TemporaryDirectory(prefix="rerankd-hold-") as made:
        folder = home or Path(made)
        file, log = folder / "rerankd.toml", folder / "log.jsonl"
        file.write_text(config)
        flags = ["serve", "--model", model, "--port", str(port), "--config", str(file)]
        whole = [*before, *command, *flags]
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("RERANKD_", "VIRTUAL_"))}
        (folder / "tmp").mkdir(exist_ok=True)
        own = {"PYTHONUNBUFFERED": "1", "TMPDIR": str(folder / "tmp"), "HF_HUB_OFFLINE": "1"}
        with log.open("a") as errors:
            process = subprocess.Popen(  # noqa: S603 - our own program
                whole,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env=clean | own | {"RERANKD_SERVER_LOG": "json"},
                start_new_session=True,
            )
        try:
            found = _port(process, log)
            yield Server(process, _listener(process.pid), found, folder, file, log, whole)
        finally:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            if process.stdout:
                process.stdout.close()


def _port(process: subprocess.Popen[str], log: Path) -> int:
    out, end = process.stdout, time.monotonic() + _START_S
    while out is not None and time.monotonic() < end:
        ready, _, _ = select.select([out], [], [], 1)
        if ready and (found := re.search(r"http://\S+:(\d+)", out.readline())):
            return int(found[1])
        if process.poll() is not None:
            break
    raise SystemExit(f"the server did not start: {log.read_text(errors='replace')[-2000:]}")


def _listener(pid: int) -> int:
    """The process itself, or the child that uv started."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    name = Path(f"/proc/{pid}/comm").read_text().strip()
    return int(children[0]) if name == "uv" and children else pid


def left_of(pid: int) -> list[int]:
    """Processes of the session that `pid` led which are still there."""
    found: list[int] = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                if int(fields[3]) == pid and fields[0] != "Z":
                    found.append(int(entry.name))
    return found


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "cpu": names[0] if names else "unknown",
        "cores": len(os.sched_getaffinity(0)),
        "load": round(os.getloadavg()[0], 2),
    }
