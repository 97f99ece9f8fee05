"""Promises that only a real server process can break; the same at length: bench/hold.py."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.kit.processes import PATIENCE_S, Server, serving

SERVE = ["-m", "rerankd", "serve", "--port", "0"]
FAILING = str(Path(__file__).parent / "failing_server.py")
# A slow machine may need longer for a long document than is accepted, and would say so.
PATIENT = {"RERANKD_LIMITS_DEADLINE_S": "100000", "RERANKD_LIMITS_WAIT_S": "100000"}
pytestmark = pytest.mark.timeout(900)


def post(url: str, *documents: str) -> httpx2.Response:
    body = {"query": "q", "documents": documents}
    return httpx2.post(f"{url}/v1/rerank", json=body, timeout=4 * PATIENCE_S)


def long_request() -> bytes:
    """One document of 600 kB: minutes of work in one piece."""
    text = " ".join(f"word{n % 9973} of{n % 7}" for n in range(60_000))[:600_000]
    body = json.dumps({"query": "which?", "documents": [text]}).encode()
    head = f"POST /v1/rerank HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def children_of(pid: int) -> list[str]:
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return [child for task in tasks for child in (task / "children").read_text().split()]


def test_kill_9_leaves_nothing_and_the_next_start_serves(tmp_path: Path) -> None:
    """No file, no process, nothing that a start would stumble over."""
    home, scratch = tmp_path / "home", tmp_path / "tmp"
    home.mkdir()
    scratch.mkdir()
    env = {"HOME": str(home), "TMPDIR": str(scratch), "XDG_CACHE_HOME": str(home / "cache")}
    for _ in range(2):
        with serving(SERVE, env=PATIENT | env) as server:
            assert post(server.url, "a").status_code == 200
            before = files(tmp_path)
            busy = [sent_long(server) for _ in range(3)]
            until_engine_works(server)
            children = children_of(server.process.pid)
            server.process.kill()
            assert server.process.wait(PATIENCE_S) == -signal.SIGKILL
            for connection in busy:
                with connection, contextlib.suppress(ConnectionResetError):
                    assert connection.recv(1) == b""
        assert files(tmp_path) == before
        assert [pid for pid in children if Path(f"/proc/{pid}").exists()] == []


@pytest.fixture
def failing() -> Generator[Server]:
    with serving([FAILING]) as started:
        yield started


def test_a_request_that_breaks_the_engine_fails_alone(failing: Server) -> None:
    """Whatever batch it is in: the others are answered, and so is who comes later."""
    with ThreadPoolExecutor(16) as pool:
        sent = [
            (n % 4 == 1, pool.submit(post, failing.url, f"{n} a", "! b" if n % 4 == 1 else "b"))
            for n in range(48)
        ]
        statuses = [(bad, answer.result().status_code) for bad, answer in sent]
    assert set(statuses) == {(True, 500), (False, 200)}
    assert post(failing.url, "later").status_code == 200
    assert httpx2.get(f"{failing.url}/health", timeout=PATIENCE_S).status_code == 200
    assert failing.stop() == 0


@pytest.fixture
def mini() -> Generator[Server]:
    with serving(SERVE, env=PATIENT) as started:
        yield started


def sent_long(server: Server) -> socket.socket:
    """A connection whose long request is being worked on."""
    made = socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_S)
    made.sendall(long_request())
    return made


def metric(server: Server, name: str) -> float:
    page = httpx2.get(f"{server.url}/metrics", timeout=PATIENCE_S).text
    found = [line for line in page.splitlines() if line.startswith((f"{name} ", f"{name}{{"))]
    return sum(float(line.rpartition(" ")[2]) for line in found)


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def until_in_flight(server: Server, count: int) -> None:
    until(lambda: metric(server, "rerankd_requests_in_flight") == count)


def until_engine_works(server: Server) -> None:
    """The long document is tokenised: a part of it runs, parts of it wait."""
    until(lambda: metric(server, "rerankd_queue_tokens") > 0)


def test_a_small_request_is_answered_while_a_long_document_runs(mini: Server) -> None:
    with sent_long(mini) as long:
        until_engine_works(mini)
        for n in range(5):
            assert post(mini.url, f"small {n}", "b").status_code == 200
            assert httpx2.get(f"{mini.url}/health", timeout=PATIENCE_S).status_code == 200
        long.setblocking(False)
        with pytest.raises(BlockingIOError):  # still no answer
            long.recv(1)


def test_sigterm_does_not_wait_for_the_document_of_a_client_that_left(mini: Server) -> None:
    with sent_long(mini):
        until_engine_works(mini)
    assert mini.stop() == 0


def test_sigterm_ends_a_long_document_when_the_drain_is_over() -> None:
    env = PATIENT | {"RERANKD_LIMITS_DRAIN_S": "0.5"}
    with serving(SERVE, env=env) as server, sent_long(server) as long:
        until_engine_works(server)
        server.process.terminate()
        answer: list[bytes] = []
        while part := long.recv(65536):
            answer.append(part)
        assert b"".join(answer).startswith(b"HTTP/1.1 503")
        assert server.process.wait(PATIENCE_S) == 0


def test_the_same_server_serves_after_the_worst(mini: Server) -> None:
    """Long documents, leavers and bytes that are no HTTP, then an answer as before."""
    first: Any = post(mini.url, "Paris is in France", "Bananas are yellow").json()["results"]
    for _ in range(3):
        with sent_long(mini):
            until_engine_works(mini)
        with socket.create_connection(("127.0.0.1", mini.port), timeout=PATIENCE_S) as odd:
            odd.sendall(b"\x16\x03\x01 not HTTP\r\n\r\n")
            assert odd.recv(65536).startswith(b"HTTP/1.1 400")
    until_in_flight(mini, 0)
    again: Any = post(mini.url, "Paris is in France", "Bananas are yellow").json()["results"]
    assert again == first
