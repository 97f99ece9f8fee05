"""`rerankd serve --workers 2`: callers see what one process answers; the dead are replaced."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import httpx2
import pytest

from rerankd.workers.launch import launched
from rerankd.workers.shares import Cores
from tests.kit.live import in_flight, metric, until
from tests.kit.processes import PATIENCE_S, Server, serving

SERVE = ["-m", "rerankd", "serve", "--model", "rerankd-mini", "--model", "rerankd-lexical"]
WORDS = (
    *("river", "bank", "money", "loan", "water", "stone"),
    *("bridge", "capital", "France", "Paris", "city", "light"),
)
WORDS_ALONE = list(WORDS)
HEADERS = {"content-type": "application/json"}


def documents(number: int, mark: int = 0) -> list[str]:
    """Distinct texts of some words."""
    return [
        f"{mark} {i} " + " ".join(WORDS[(i * step + mark) % len(WORDS)] for step in range(1, 9))
        for i in range(number)
    ]


def ranked(url: str, body: Any, path: str = "/v1/rerank") -> httpx2.Response:
    """An answer; the body may be one that cannot be read."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return httpx2.post(url + path, content=content, headers=HEADERS, timeout=PATIENCE_S)


def workers(server: Server) -> list[dict[str, Any]]:
    """What /v1/workers lists."""
    return httpx2.get(f"{server.url}/v1/workers", timeout=PATIENCE_S).json()["data"]


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Generator[Server]:
    log = tmp_path_factory.mktemp("two") / "log"
    with serving([*SERVE, "--port", "0", "--workers", "2"], log=log) as server:
        yield server


# No two have a document in common: what a worker remembers, another does not.
BODIES: dict[str, tuple[str, Any]] = {
    "a list": ("/v1/rerank", {"query": "money", "documents": documents(30, 11)}),
    "top_n": ("/v1/rerank", {"query": "money", "documents": documents(9, 12), "top_n": 2}),
    "raw scores": ("/v1/rerank", {"query": "x", "documents": documents(5, 13), "raw_scores": True}),
    "echoes": (
        "/v1/rerank",
        {
            "query": "x",
            "documents": [{"text": d} for d in documents(4, 14)],
            "return_documents": True,
        },
    ),
    "lexical": (
        "/v1/rerank",
        {"model": "rerankd-lexical", "query": "Paris", "documents": documents(20, 15)},
    ),
    "an instruction": (
        "/v1/rerank",
        {"query": "x", "documents": documents(3, 16), "instruction": "Find a bridge."},
    ),
    "pairs": (
        "/vllm/v1/score",
        {"model": "rerankd-mini", "text_1": documents(6, 17), "text_2": documents(6, 18)},
    ),
    "vectors": ("/v1/embeddings", {"model": "rerankd-mini", "input": documents(5, 19)}),
    "short vectors": (
        "/v1/embeddings",
        {"model": "rerankd-mini", "input": "one", "dimensions": 8, "encoding_format": "base64"},
    ),
    "an explanation": ("/v1/rerank/explain", {"query": "money", "documents": documents(3, 20)}),
    "no such model": ("/v1/rerank", {"model": "nobody", "query": "x", "documents": ["y"]}),
    "an image": ("/v1/rerank", {"query": "x", "documents": [{"image": "data:,x"}]}),
    "a query too long": ("/v1/rerank", {"query": "word " * 20_000, "documents": ["y"]}),
    "no vectors": ("/v1/embeddings", {"model": "rerankd-lexical", "input": ["x"]}),
    "vectors too long": (
        "/v1/embeddings",
        {"model": "rerankd-mini", "input": ["x"], "dimensions": 9999},
    ),
    "no documents": ("/v1/rerank", {"query": "x", "documents": []}),
    "no JSON": ("/v1/rerank", b"{"),
}
_DIFFERS = ("id", "created", "request_id", "timings")


def told(answer: httpx2.Response) -> tuple[int, str]:
    """Status and text, without what is new in every answer."""
    try:
        found: Any = answer.json()
    except ValueError:
        return answer.status_code, answer.text
    if isinstance(found, dict):
        for name in _DIFFERS:
            cast("dict[str, Any]", found).pop(name, None)
    return answer.status_code, json.dumps(found)


def test_every_answer_is_that_of_one_process(two: Server) -> None:
    with serving([*SERVE, "--port", "0"]) as one:
        for name, (path, body) in BODIES.items():
            alone, shared = (told(ranked(each.url, body, path)) for each in (one, two))
            assert shared == alone, (name, shared, alone)
            assert (alone[0] == 200) == (list(BODIES).index(name) < 10), (name, alone)


def test_a_worker_that_is_killed_under_load_costs_no_request(two: Server) -> None:
    def ask(number: int) -> int:
        body = {"query": f"bank {number}", "documents": documents(40, number)}
        return ranked(two.url, body).status_code

    before = {each["pid"] for each in workers(two)}
    with ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(ask, number) for number in range(120)]
        for victim in sorted(before):
            until(lambda: any(each["running"] for each in workers(two)))
            os.kill(victim, signal.SIGKILL)
            until(lambda victim=victim: _is_replaced(two, victim))
        assert {each.result() for each in answers} == {200}
    health = httpx2.get(f"{two.url}/health", timeout=PATIENCE_S).json()
    assert (health["status"], health["workers"]) == ("ok", {"0": "running", "1": "running"})
    assert metric(two.url, "rerankd_worker_restarts_total") == 1
    after = workers(two)
    assert len(after) == 2
    assert not before & {each["pid"] for each in after}
    assert all(each["restarts"] for each in after)


def _is_replaced(server: Server, pid: int) -> bool:
    found = workers(server)
    return all(each["pid"] != pid and each["state"] == "running" for each in found)


def test_workers_end_with_a_server_that_is_killed() -> None:
    with serving([*SERVE, "--port", "0", "--workers", "2"]) as server:
        pids = [each["pid"] for each in workers(server)]
        server.process.kill()
        server.process.wait(PATIENCE_S)
        until(lambda: not any(Path(f"/proc/{pid}/cmdline").exists() for pid in pids))


def test_a_reload_reaches_all_workers_and_a_drain_leaves_none(tmp_path: Path) -> None:
    file = tmp_path / "rerankd.toml"
    written = 'models = ["rerankd-lexical"{}]\n[server]\nport = 0\nworkers = 2\n[[keys]]\n'
    written += 'name = "team"\nkey = "sk-0123456789abcdef"\n'
    file.write_text(written.format(""))
    key = {"authorization": "Bearer sk-0123456789abcdef"}
    with serving(["-m", "rerankd", "serve", "--config", str(file)]) as server:

        def asked(model: str, documents: list[str] = WORDS_ALONE) -> httpx2.Response:
            body = {"model": model, "query": "bank", "documents": documents}
            url = f"{server.url}/v1/rerank"
            return httpx2.post(url, json=body, headers=key, timeout=PATIENCE_S)

        def models() -> list[str]:
            found = httpx2.get(f"{server.url}/v1/models", headers=key, timeout=PATIENCE_S).json()
            return [each["id"] for each in found["data"]]

        assert asked("rerankd-mini").status_code == 400
        refused = httpx2.get(f"{server.url}/v1/workers", headers=key, timeout=PATIENCE_S)
        assert refused.status_code == 403  # it may call; that list is for operators
        file.write_text(written.format(', "rerankd-mini"'))
        server.process.send_signal(signal.SIGHUP)
        until(lambda: models() == ["rerankd-lexical", "rerankd-mini"])
        pids = [int(child) for child in children(server.process.pid)]
        assert len(pids) == 2
        with ThreadPoolExecutor(4) as pool:
            running = [pool.submit(asked, "rerankd-mini", documents(300, n)) for n in range(4)]
            until(lambda: in_flight(server.url) == 4)
            for pid in [*pids, server.process.pid]:  # as systemd, to all of them
                os.kill(pid, signal.SIGTERM)
            assert [each.result().status_code for each in running] == [200] * 4
        assert server.process.wait(PATIENCE_S) == 0
        until(lambda: not any(Path(f"/proc/{pid}/cmdline").exists() for pid in pids))


def test_a_worker_that_is_killed_amid_a_reload_costs_neither_a_request_nor_the_reload(
    tmp_path: Path,
) -> None:
    file = tmp_path / "rerankd.toml"
    written = 'models = ["rerankd-lexical"{}]\n[server]\nport = 0\nworkers = 2\n'
    file.write_text(written.format(""))
    is_over = threading.Event()
    with (
        serving(["-m", "rerankd", "serve", "--config", str(file)]) as server,
        ThreadPoolExecutor(4) as pool,
    ):

        def ask(client: int) -> set[int]:
            found, number = set[int](), client
            while not is_over.is_set():
                number += 10
                body = {"query": "bank", "documents": documents(40, number)}
                found.add(ranked(server.url, body).status_code)
            return found

        asked = [pool.submit(ask, client) for client in range(4)]
        second = workers(server)[1]["pid"]
        file.write_text(written.format(', "rerankd-mini"'))
        server.process.send_signal(signal.SIGHUP)
        until(lambda: "rerankd-mini" in workers(server)[0]["models"])
        os.kill(second, signal.SIGKILL)  # the reload is there, or about to be
        until(lambda: _is_replaced(server, second))
        until(lambda: all("rerankd-mini" in each["models"] for each in workers(server)))
        until(lambda: workers(server)[1]["restarts"] == 1)
        is_over.set()
        assert [each.result() for each in asked] == [{200}] * 4
        body = {"model": "rerankd-mini", "query": "bank", "documents": documents(4)}
        assert ranked(server.url, body).status_code == 200
        assert server.stop() == 0


async def test_signals_to_a_worker_that_begins_do_nothing() -> None:
    process, connection = await launched(Cores(1, ()), "auto")
    for each in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        os.kill(process.pid, each)
    connection.close()
    assert await process.end(PATIENCE_S) == 0


def children(pid: int) -> list[str]:
    """Processes that it started."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return [child for task in tasks for child in (task / "children").read_text().split()]
