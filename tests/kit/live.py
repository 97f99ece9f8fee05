"""What tests of real server processes share: requests of a known length, metrics, logs."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2

from tests.kit.processes import PATIENCE_S

SLOW = str(Path(__file__).parent / "slow_server.py")


def body(tokens: int, mark: str = "x") -> dict[str, Any]:
    """A request that takes about tokens / 100 seconds, in steps of a quarter of a second."""
    documents = [f"{mark}{n:03}".ljust(25, ".") for n in range(max(1, tokens // 25))]
    return {"query": "q", "documents": documents}


def until(condition: Callable[[], bool]) -> None:
    """Wait for something that must happen."""
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def not_at_midnight() -> None:
    """Wait where a day of UTC ends within a minute: its counts would begin anew in between."""
    while (left_s := 86_400 - time.time() % 86_400) < 60:
        time.sleep(left_s)


def metric(url: str, name: str) -> float:
    """One sample of /metrics; 0 when it is not there."""
    for line in httpx2.get(f"{url}/metrics", timeout=PATIENCE_S).text.splitlines():
        if line.startswith(name):
            return float(line.rpartition(" ")[2])
    return 0.0


def in_flight(url: str) -> float:
    """Requests in progress."""
    return metric(url, "rerankd_requests_in_flight")


def rank(url: str, tokens: int = 25, *, key: str | None = None, **fields: Any) -> httpx2.Response:
    """One request to /v1/rerank."""
    headers = {} if key is None else {"authorization": f"Bearer {key}"}
    posted = body(tokens) | fields
    return httpx2.post(f"{url}/v1/rerank", json=posted, headers=headers, timeout=PATIENCE_S)


class Log:
    """The JSON lines that a server wrote to a file so far."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def text(self) -> str:
        """All of it."""
        return self.path.read_text()

    def events(self, name: str) -> list[dict[str, Any]]:
        """The events of one name, in order."""
        lines = [line for line in self.text.splitlines() if line.startswith("{")]
        found = [json.loads(line) for line in lines if line.endswith("}")]
        return [event for event in found if event["event"] == name]

    def wait(self, name: str, count: int = 1) -> dict[str, Any]:
        """The count-th event of a name, when it has come."""
        until(lambda: len(self.events(name)) >= count)
        return self.events(name)[count - 1]
