"""Two replicas behind Ray Serve's HAProxy: what a caller sees is rerankd's, whatever happens.

The tests run in their order, on one cluster.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import pyarrow as pa
import pytest
import sqlalchemy as sa
from pyarrow import parquet

from rerankd.store.database import open_database
from tests.kit.processes import Server, serving
from tests.kit.ray_cluster import PATIENCE_S, URL, Callers, Cluster, cluster, until

KEY = "rerankd-cluster-key-of-the-tests"
ROUTE_KEY = "rerankd-key-of-the-front"
GOOD = {"authorization": f"Bearer {KEY}"}
SMALL = {"query": "capital of France", "documents": ["Berlin", "Paris is the capital of France."]}
BODY = json.dumps(SMALL).encode()
STORE = os.environ["RERANKD_TEST_POSTGRESQL"]


def settings(folder: Path, *, documents: int) -> str:
    """A file with a store that all replicas share, and a limit that tells files apart."""
    return f"""
models = ["rerankd-mini"]
[server]
log = "json"
[limits]
documents = {documents}
queue_tokens = 30000
[store]
url = "{STORE}"
journal = "{folder / "journal"}"
shared = true
[[keys]]
name = "caller"
key = "{KEY}"
"""


@pytest.fixture(scope="module")
def head() -> Generator[Cluster]:
    """Nothing deployed yet."""
    with cluster() as started:
        yield started


@pytest.fixture(scope="module")
def ray(head: Cluster) -> Cluster:
    """Two replicas."""
    head.config.write_text(settings(head.folder, documents=100))
    said = head.deploy("--replicas", "2")
    assert "RUNNING: 2 RUNNING, 2 wanted" in said
    return head


def rank(body: dict[str, Any] = SMALL, **headers: str) -> httpx2.Response:
    """One request to the cluster."""
    sent = {"x-" + name.replace("_", "-"): value for name, value in headers.items()}
    return httpx2.post(f"{URL}/v1/rerank", json=body, headers=GOOD | sent, timeout=PATIENCE_S)


def rows() -> int:
    """Requests in the ledger that were answered."""
    database = open_database(STORE)
    try:
        with database.read() as connection:
            asked = sa.text("select count(*) from usage where status = 200")
            return connection.execute(asked).scalar_one()
    finally:
        database.close()


def long_body(documents: int = 60) -> dict[str, Any]:
    """One that takes a while."""
    text = " ".join(f"word{n}" for n in range(200))
    return {"query": "word7", "documents": [f"{text} {i}" for i in range(documents)]}


def test_ray_data_scores_what_bulk_scores(head: Cluster, tmp_path: Path) -> None:
    ids = [f"{n:04}" for n in range(400)]
    table = {
        "id": ids,
        "query": [f"word{n // 20} of a city" for n in range(400)],
        "document": [f"City {n} has word{n % 20} and word{n % 7}." for n in range(400)],
    }
    parquet.write_table(pa.table(table), tmp_path / "pairs.parquet")
    page = (Path(__file__).parents[3] / "docs" / "ray.md").read_text("utf-8")
    [recipe] = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    program = [sys.executable, "-c", recipe.replace("/data/", f"{tmp_path}/")]
    env = os.environ | {"RAY_ADDRESS": "127.0.0.1:6379"}
    subprocess.run(program, env=env, check=True, timeout=PATIENCE_S)
    found = parquet.read_table(tmp_path / "scored").to_pylist()
    out = tmp_path / "bulk"
    head.rerankd("bulk", str(tmp_path / "pairs.parquet"), str(out), "--model", "rerankd-mini")
    lines = [
        line for part in sorted(out.glob("part-*.jsonl")) for line in part.read_text().splitlines()
    ]
    wanted = {row["id"]: row["relevance_score"] for row in map(json.loads, lines)}
    assert list(wanted) == ids
    assert sorted(row["id"] for row in found) == ids
    scores = {row["id"]: row["relevance_score"] for row in found}
    assert scores == pytest.approx(wanted, abs=1e-6)


def test_the_command_shows_both(ray: Cluster) -> None:
    said = ray.rerankd("ray", "status")
    assert said.startswith("RUNNING: 2 RUNNING, 2 wanted")
    assert all(str(pid) in said for pid in ray.replicas())


def test_a_core_has_one_replica(ray: Cluster) -> None:
    usable = len(os.sched_getaffinity(0))
    pinned = [event["pinned"] for event in ray.events("cores of a replica")]
    assert len(pinned) == 2
    if usable > 1:
        assert len({core for cores in pinned for core in cores}) == 2


def test_ids_are_ours_and_once(ray: Cluster) -> None:
    answer = rank(request_id="mine")
    ids = answer.headers.get_list("x-request-id")
    assert ids == answer.headers.get_list("x-siliconcloud-trace-id") == [answer.json()["id"]]
    assert ids[0].startswith("rerank-")
    assert len(answer.headers.get_list("server")) == 1
    assert [event for event in ray.events("rerank") if event["request_id"] == ids[0]]


def test_a_caller_cannot_shorten_serves_patience() -> None:
    assert rank(request_timeout_seconds="0.000001").status_code == 200


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> Generator[Server]:
    """One server with the same settings, without Ray."""
    folder = tmp_path_factory.mktemp("one")
    config = folder / "one.toml"
    config.write_text(settings(folder, documents=100))
    with serving(["-m", "rerankd", "serve", "--port", "0", "--config", str(config)]) as started:
        yield started


@pytest.mark.parametrize("path", ["/v1/rerank", "/v2/rerank", "/nowhere"])
def test_errors_are_those_of_one_server(ray: Cluster, single: Server, path: str) -> None:
    for body, headers in ((b"{", GOOD), (b"{}", {}), (BODY, {"authorization": "Bearer x"})):
        sent = {"content-type": "application/json"} | headers
        there, here = (
            httpx2.post(f"{url}{path}", content=body, headers=sent, timeout=PATIENCE_S)
            for url in (URL, single.url)
        )
        assert there.status_code == here.status_code
        assert _plain(there) == _plain(here)
        assert set(there.headers) - set(here.headers) <= {"server"}


def _plain(answer: httpx2.Response) -> str:
    """Its body, but for ids."""
    return re.sub(r"rerank-\d{8}-\w{24}|\w{8}(-\w{4}){3}-\w{12}", "ID", answer.text)


def made(ray: Cluster, name: str, *limit: str) -> tuple[str, int]:
    """A key of the store that both replicas know, and how often it was answered until then."""
    said = ray.rerankd("keys", "create", name, "--json", "--store", STORE, *limit)
    key = json.loads(said)["key"]
    answered = in_a_row = 0
    while in_a_row < 8:  # HAProxy takes turns
        is_good = ask(key) == 200
        answered += is_good
        in_a_row = in_a_row + 1 if is_good else 0
    return key, answered


def ask(key: str) -> int:
    """The status of one request."""
    headers = {"authorization": f"Bearer {key}"}
    url = f"{URL}/v1/rerank"
    return httpx2.post(url, json=SMALL, headers=headers, timeout=PATIENCE_S).status_code


@pytest.mark.parametrize(
    ("name", "limit"), [("daily", ["--rpd", "40"]), ("spender", ["--budget", "40 requests/day"])]
)
def test_a_limit_is_exact_over_both(ray: Cluster, name: str, limit: list[str]) -> None:
    key, answered = made(ray, name, *limit)
    with ThreadPoolExecutor(8) as pool:
        ends = Counter(pool.map(ask, [key] * 120))
    assert answered + ends[200] == 40
    assert set(ends) <= {200, 402, 429}


def test_a_full_queue_is_our_503(ray: Cluster) -> None:
    with ThreadPoolExecutor(24) as pool:
        answers = list(pool.map(rank, [long_body()] * 24))
    refused = [answer for answer in answers if answer.status_code == 503]
    assert refused
    assert {answer.status_code for answer in answers} == {200, 503}
    for answer in refused:
        assert float(answer.headers["retry-after"]) > 0
        assert answer.json()["code"] == 50505


def test_who_leaves_is_seen_and_costs_nothing_more(ray: Cluster) -> None:
    def left() -> int:
        return sum(event["status"] == 499 for event in ray.events("rerank"))

    before = left()
    content = json.dumps(long_body(90)).encode()
    head = f"POST /v1/rerank HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\n"
    head += f"content-type: application/json\r\ncontent-length: {len(content)}\r\n\r\n"
    for _ in range(4):
        with socket.create_connection(("127.0.0.1", 8000)) as connection:
            connection.sendall(head.encode() + content)
    until(lambda: left() > before)


def test_an_update_under_load_fails_nobody_and_is_counted_once(ray: Cluster) -> None:
    old = set(ray.replicas())
    before = rows()
    ray.config.write_text(settings(ray.folder, documents=3))
    with Callers(URL, KEY, BODY) as callers:
        until(lambda: callers.answered > 100)
        ray.deploy("--replicas", "2", "--most", "3", "--surge-percent", "100")
        until(lambda: not old & set(ray.replicas()))
    assert callers.failed == {}
    assert rank({"query": "q", "documents": ["a", "b", "c", "d"]}).status_code == 400
    until(lambda: rows() >= before + callers.answered)
    assert rows() == before + callers.answered


def test_a_killed_replica_fails_nobody_behind_a_route(ray: Cluster, tmp_path: Path) -> None:
    config = tmp_path / "front.toml"
    config.write_text(FRONT)
    env = {"CLUSTER_KEY": KEY}
    command = ["-m", "rerankd", "serve", "--port", "0", "--config", str(config)]
    body = json.dumps(SMALL | {"model": "cluster"}).encode()
    with (
        serving(command, env=env) as front,
        Callers(front.url, ROUTE_KEY, body, count=8) as callers,
    ):
        until(lambda: callers.answered > 100)
        victim = next(pid for pid, state in ray.replicas().items() if state == "RUNNING")
        os.kill(victim, signal.SIGKILL)
        until(lambda: victim not in ray.replicas())
        until(lambda: list(ray.replicas().values()).count("RUNNING") >= 2)
        answered = callers.answered
        until(lambda: callers.answered > answered + 100)
    assert callers.failed == {}


def test_work_that_waits_gets_a_replica_more(ray: Cluster) -> None:
    with Callers(URL, KEY, BODY, count=8) as callers:
        until(lambda: list(ray.replicas().values()).count("RUNNING") == 3)
    assert callers.failed == {}


FRONT = f"""
models = ["rerankd-lexical"]
[[keys]]
name = "front"
key = "{ROUTE_KEY}"
[upstream.cluster]
dialect = "superset"
url = "{URL}"
key_env = "CLUSTER_KEY"
[upstream.again]
dialect = "superset"
url = "{URL}"
key_env = "CLUSTER_KEY"
[route.cluster]
to = [
  {{ upstream = "cluster", name = "rerankd-mini", space = "mini" }},
  {{ upstream = "again", name = "rerankd-mini", space = "mini" }},
]
"""
