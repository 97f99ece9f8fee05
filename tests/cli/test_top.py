"""`rerankd top` as an operator calls it: one server, many, one that is away."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Generator

import httpx2
import pytest

from tests.kit.processes import PATIENCE_S, Server, serving

BODY = {"query": "capital of France", "documents": ["Berlin", "Paris"]}


def run(*words: str) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("RERANKD_")}
    return subprocess.run(
        [sys.executable, "-m", "rerankd", "top", *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=5 * PATIENCE_S,
        env=environment | {"COLUMNS": "200"},
    )


@pytest.fixture(scope="module")
def server() -> Generator[Server]:
    command = ["-m", "rerankd", "serve", "--port", "0", "--model", "rerankd-lexical"]
    with serving(command) as running:
        yield running


def test_a_server_and_one_that_is_away(server: Server) -> None:
    ended = threading.Event()

    def ask() -> None:  # until it was looked at twice
        while not ended.is_set():
            httpx2.post(f"{server.url}/v1/rerank", json=BODY, timeout=PATIENCE_S)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        done = run(server.url, "http://127.0.0.1:9", "--once", "--json", "--every", "0.5")
    finally:
        ended.set()
        asking.join()
    here, away, together = map(json.loads, done.stdout.splitlines())
    assert done.returncode == 1
    assert (here["server"], here["state"]) == (server.url, "ready")
    assert here["requests_per_s"] > 0
    assert here["documents_per_s"] == pytest.approx(2 * here["requests_per_s"])
    assert here["not_answered"] == 0
    assert 0 < here["p50_ms"] <= here["p95_ms"]
    assert here["models"] == ["rerankd-lexical"]
    assert (away["server"], away["state"]) == ("http://127.0.0.1:9", "away")
    assert (together["server"], together["state"]) == ("all", "1 ready")
    assert together["requests_per_s"] == here["requests_per_s"]


def test_a_table_has_a_line_a_server(server: Server) -> None:
    done = run(server.url.removeprefix("http://"), "--once", "--every", "0.1")
    assert (done.returncode, done.stderr) == (0, "")
    head, line = done.stdout.splitlines()
    assert head.split()[:3] == ["server", "state", "req/s"]
    assert line.split()[:4] == [server.url, "ready", "0.0", "–"]
    assert line.split()[-1] == "rerankd-lexical"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("ftp://x", "--once"), "ftp://x: write http://HOST:PORT"),
        (("http://me:secret@x", "--once"), "without a name and password"),
        (("http://x:99999", "--once"), "write http://HOST:PORT"),
        (("--once", "--every", "0"), "--every 0.0: 0.1 to 3600 seconds."),
        (("--json",), "--json: together with --once."),
    ],
)
def test_what_cannot_be_asked_is_said(words: tuple[str, ...], said: str) -> None:
    done = run(*words)
    assert done.returncode == 1
    assert said in done.stderr
    assert done.stdout == ""
