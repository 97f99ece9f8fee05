"""What only a real server process shows: signals, connections, pipelining, reload."""

from __future__ import annotations

import json
import signal
import socket
import time
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import pytest
from edge import post, read_all, read_until

from rerankd.web.assemble import plan_of
from rerankd.web.reload import unserved
from rerankd.web.stopping import SAME_SIGNAL_S
from tests.kit.live import SLOW, body, metric, until
from tests.kit.processes import PATIENCE_S, Server, serving
from tests.kit.support import settings


@pytest.fixture
def server() -> Generator[Server]:
    with serving([SLOW]) as started:
        yield started


def test_sigterm_lets_running_requests_end_and_refuses_new_ones(server: Server) -> None:
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(
            httpx2.post, f"{server.url}/v1/rerank", json=body(150), timeout=PATIENCE_S
        )
        until(lambda: metric(server.url, "rerankd_requests_in_flight") == 1)
        server.process.send_signal(signal.SIGTERM)
        until(lambda: httpx2.get(f"{server.url}/ready", timeout=PATIENCE_S).status_code == 503)
        assert httpx2.get(f"{server.url}/ready", timeout=PATIENCE_S).json()["status"] == "draining"
        refused = httpx2.post(f"{server.url}/v1/rerank", json=body(25), timeout=PATIENCE_S)
        assert (refused.status_code, refused.json()["code"]) == (503, 50505)
        assert running.result().status_code == 200
    assert server.process.wait(PATIENCE_S) == 0


def test_a_running_server_measures_how_late_its_loop_is(server: Server) -> None:
    until(lambda: metric(server.url, "rerankd_loop_lag_seconds_count") > 1)


def test_what_does_not_end_within_drain_s_gets_a_503() -> None:
    with serving([SLOW], env={"RERANKD_LIMITS_DRAIN_S": "0.3"}) as server:
        with ThreadPoolExecutor(1) as pool:
            url = f"{server.url}/v1/rerank"
            running = pool.submit(httpx2.post, url, json=body(10_000), timeout=PATIENCE_S)
            until(lambda: metric(server.url, "rerankd_requests_in_flight") == 1)
            server.process.send_signal(signal.SIGTERM)
            answer = running.result()
        assert (answer.status_code, answer.json()["code"]) == (503, 50505)
        assert "x-siliconcloud-trace-id" in answer.headers
        assert server.process.wait(PATIENCE_S) == 0


LONG = {"RERANKD_LIMITS_DRAIN_S": "3600", "RERANKD_LIMITS_BODY_S": "3600"}  # PATIENCE_S ends first


def test_while_draining_every_answer_ends_its_connection(server: Server) -> None:
    """A client that keeps connections alive sends nothing into one that the exit closes."""
    small = post("/v1/rerank", json.dumps(body(25)).encode())
    with connect(server) as running, connect(server) as idle, connect(server) as later:
        for client in (running, idle, later):  # all three keep their connections
            client.sendall(small)
            assert b"connection: close" not in read_until(client, b'"relevance_score"')
        running.sendall(post("/v1/rerank", json.dumps(body(300)).encode()))
        until(lambda: metric(server.url, "rerankd_requests_in_flight") == 1)
        later.sendall(small[:30])
        assert httpx2.get(f"{server.url}/ready").status_code == 200  # the server has read that
        server.process.send_signal(signal.SIGTERM)
        assert idle.recv(1) == b""
        later.sendall(small[30:])
        with connect(server) as fresh:
            fresh.sendall(small)
            for client in (later, fresh):
                refused = read_all(client).lower()
                assert refused.startswith(b"http/1.1 503")
                assert b"\r\nconnection: close\r\n" in refused
                assert b"\r\nretry-after: " in refused
        for path in ("/ready", "/health", "/metrics", "/v1/models", "/nowhere"):
            assert httpx2.get(f"{server.url}{path}").headers["connection"] == "close"
        answer = read_all(running)
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"\r\nconnection: close\r\n" in answer
    assert answer.count(b'"relevance_score"') == 12
    assert server.process.wait(PATIENCE_S) == 0


def connect(server: Server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_S)


def test_an_idle_server_stops_at_once() -> None:
    with serving([SLOW], env=LONG) as server:
        assert server.stop() == 0


def test_a_client_that_leaves_costs_nothing_more(server: Server) -> None:
    raw = json.dumps(body(5000)).encode()
    head = f"POST /v1/rerank HTTP/1.1\r\nHost: x\r\nContent-Length: {len(raw)}\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", server.port)) as gone:
        gone.sendall(head + raw)
        until(lambda: metric(server.url, "rerankd_queue_tokens") > 0)
    until(lambda: metric(server.url, "rerankd_queue_tokens") == 0)
    answer = httpx2.post(f"{server.url}/v1/rerank", json=body(25), timeout=PATIENCE_S)
    assert answer.status_code == 200
    assert (
        metric(
            server.url,
            'rerankd_requests_total{dialect="superset",model="rerankd-multi",status="499"}',
        )
        == 1
    )


def test_a_small_request_does_not_wait_for_a_large_one(server: Server) -> None:
    url = f"{server.url}/v1/rerank"
    with ThreadPoolExecutor(1) as pool:
        large = pool.submit(httpx2.post, url, json=body(500), timeout=PATIENCE_S)
        until(lambda: metric(server.url, "rerankd_requests_in_flight") == 1)
        small = httpx2.post(url, json=body(50, "y"), timeout=PATIENCE_S)
        assert small.status_code == 200
        assert not large.done()
        assert large.result().status_code == 200


def test_pipelined_requests_are_answered_in_order(server: Server) -> None:
    bodies = [json.dumps({"query": "q", "documents": [f"{n}" * (9 - n)]}) for n in range(8)]
    requests = b"".join(
        f"POST /v1/rerank HTTP/1.1\r\nHost: x\r\nContent-Length: {len(b)}\r\n\r\n{b}".encode()
        for b in bodies
    )
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_S) as connection:
        connection.sendall(requests)
        received = b""
        while received.count(b'"relevance_score"') < 8:
            part = connection.recv(65536)
            assert part, received
            received += part
    texts = [part.split(b'"')[0].decode() for part in received.split(b'{"text":"')[1:]]
    assert texts == [f"{n}" * (9 - n) for n in range(8)]


def test_a_body_that_drips_in_is_a_408() -> None:
    with (
        serving([SLOW], env={"RERANKD_LIMITS_BODY_S": "0.5"}) as server,
        socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_S) as drip,
    ):
        drip.sendall(b"POST /v1/rerank HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
        received = b"".join(iter(lambda: drip.recv(65536), b""))
    assert received.startswith(b"HTTP/1.1 408")
    assert b"limits.body_s" in received


@pytest.mark.parametrize(
    "sent", [b"", b"POST /v1/rer", b"POST /v1/rerank HTTP/1.1\r\nHost: x\r\nA"]
)
def test_headers_that_drip_in_lose_their_connection(sent: bytes) -> None:
    with (
        serving([SLOW], env={"RERANKD_LIMITS_BODY_S": "0.5"}) as server,
        socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_S) as drip,
    ):
        drip.sendall(sent)
        assert drip.recv(65536) == b""


def test_a_body_over_the_limit_is_refused_before_it_is_sent(server: Server) -> None:
    head = b"POST /v1/rerank HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_S) as connection:
        connection.sendall(head)
        assert connection.recv(65536).startswith(b"HTTP/1.1 413")


def test_a_client_that_sends_all_before_it_reads_still_gets_its_413(server: Server) -> None:
    answer = httpx2.post(f"{server.url}/v1/rerank", content=b" " * 40_000_000, timeout=PATIENCE_S)
    assert answer.status_code == 413


def test_a_flood_of_requests_is_answered_whole_or_refused_whole() -> None:
    env = {"RERANKD_LIMITS_QUEUE_TOKENS": "400"}
    with serving([SLOW], env=env) as server, ThreadPoolExecutor(24) as pool:
        url = f"{server.url}/v1/rerank"
        posts = [
            pool.submit(httpx2.post, url, json=body(75, f"{n}-"), timeout=PATIENCE_S)
            for n in range(24)
        ]
        answers = [post.result() for post in posts]
    statuses = [answer.status_code for answer in answers]
    assert set(statuses) == {200, 503}
    for answer in answers:
        if answer.status_code == 200:
            assert len(answer.json()["results"]) == 3
        else:
            assert int(answer.headers["retry-after"]) >= 1


CONFIG = """
[[keys]]
name = "{name}"
key = "{key}"
"""


def test_sighup_takes_over_new_keys_and_models(tmp_path: Path) -> None:
    config = tmp_path / "rerankd.toml"
    config.write_text(CONFIG.format(name="old", key="sk-old"))
    with serving([SLOW, str(config)]) as server:

        def status(key: str, **fields: Any) -> int:
            headers = {"authorization": f"Bearer {key}"}
            posted = body(25) | fields
            url = f"{server.url}/v1/rerank"
            return httpx2.post(url, json=posted, headers=headers, timeout=PATIENCE_S).status_code

        assert (status("sk-old"), status("sk-new")) == (200, 401)
        aliases = '[aliases]\n"other" = "rerankd-mini"\n'
        config.write_text(aliases + CONFIG.format(name="new", key="sk-new"))
        server.process.send_signal(signal.SIGHUP)
        until(lambda: status("sk-new") == 200)
        assert status("sk-old") == 401
        assert status("sk-new", model="other") == 200
        config.write_text("limits = nonsense")
        server.process.send_signal(signal.SIGHUP)
        time.sleep(0.3)
        assert status("sk-new") == 200


def test_a_second_signal_that_is_no_echo_of_the_first_stops_without_waiting() -> None:
    raw = json.dumps(body(25_000)).encode()  # four minutes of work
    head = f"POST /v1/rerank HTTP/1.1\r\nHost: x\r\nContent-Length: {len(raw)}\r\n\r\n".encode()
    with (
        serving([SLOW], env=LONG) as server,
        socket.create_connection(("127.0.0.1", server.port)) as connection,
    ):
        connection.sendall(head + raw)
        until(lambda: metric(server.url, "rerankd_requests_in_flight") == 1)
        server.process.send_signal(signal.SIGTERM)
        until(lambda: httpx2.get(f"{server.url}/ready", timeout=PATIENCE_S).status_code == 503)
        time.sleep(SAME_SIGNAL_S)
        server.process.send_signal(signal.SIGTERM)
        assert connection.recv(65536).startswith(b"HTTP/1.1 503")
        assert server.process.wait(PATIENCE_S) == 0


def test_many_idle_connections_do_not_stop_an_answer(server: Server) -> None:
    idle = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(200)]
    try:
        answer = httpx2.post(f"{server.url}/v1/rerank", json=body(25), timeout=PATIENCE_S)
    finally:
        for connection in idle:
            connection.close()
    assert answer.status_code == 200


def test_a_half_sent_body_does_not_hold_up_the_exit() -> None:
    with (
        serving([SLOW], env=LONG | {"RERANKD_LIMITS_DRAIN_S": "0.3"}) as server,
        socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_S) as half,
    ):
        half.sendall(b"POST /v1/rerank HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
        until(lambda: metric(server.url, "rerankd_requests_in_flight") == 1)
        server.process.send_signal(signal.SIGTERM)
        assert half.recv(65536).startswith(b"HTTP/1.1 503")
        assert server.process.wait(PATIENCE_S) == 0


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"FOO / HTTP/1.1\r\nHost: x\r\n\r\n", b"400"),
        (b"POST /v1/rerank HTTP/1.1\r\nContent-Length: -5\r\n\r\n", b"400"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"400"),
        (b"GET / HTTP/1.1\r\nX-A: " + b"a" * 200_000, b"431"),
    ],
    ids=["method", "length", "tls", "header"],
)
def test_what_is_not_http_gets_a_trace_id_and_an_error_body(
    server: Server, sent: bytes, status: bytes
) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_S) as odd:
        odd.sendall(sent)
        received = odd.recv(65536)
    assert received.startswith(b"HTTP/1.1 " + status)
    assert b"x-siliconcloud-trace-id: rerank-" in received
    assert b'"code":20015' in received


def test_a_reload_cannot_open_a_server_that_others_can_reach(tmp_path: Path) -> None:
    config = tmp_path / "rerankd.toml"
    keys = CONFIG.format(name="a", key="sk-a-long-enough-to-be-a-key")
    config.write_text('[server]\nhost = "0.0.0.0"\n' + keys)
    with serving([SLOW, str(config)], log=tmp_path / "log") as server:
        url = f"http://127.0.0.1:{server.port}/v1/models"
        assert httpx2.get(url, timeout=PATIENCE_S).status_code == 401
        config.write_text('[server]\nhost = "127.0.0.1"\n')
        server.process.send_signal(signal.SIGHUP)
        until(lambda: "reload refused" in (tmp_path / "log").read_text())
        lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
        refused = next(line for line in lines if line.get("event") == "reload refused")
        assert refused["level"] == "warning"
        assert "no API key is configured" in refused["reason"]
        assert httpx2.get(url, timeout=PATIENCE_S).status_code == 401


def test_clients_that_leave_while_their_text_is_tokenised_do_not_stop_others(
    tmp_path: Path,
) -> None:
    words = " ".join(f"wörd{n}_{n % 7}" for n in range(300))
    raw = json.dumps({"query": "q", "documents": [f"{n} {words}" for n in range(700)]}).encode()
    head = f"POST /v1/rerank HTTP/1.1\r\nHost: x\r\nContent-Length: {len(raw)}\r\n\r\n".encode()
    with serving(["-m", "rerankd", "serve", "--port", "0"], log=tmp_path / "log") as server:
        gone = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(4)]
        for connection in gone:
            connection.sendall(head + raw)
        until(lambda: metric(server.url, "rerankd_requests_in_flight") == 4)
        small = {"query": "a", "documents": ["b"]}
        answer = httpx2.post(f"{server.url}/v1/rerank", json=small, timeout=PATIENCE_S)
        assert answer.status_code == 200
        for connection in gone:
            connection.close()
        until(lambda: metric(server.url, "rerankd_requests_in_flight") == 0)
        assert server.stop() == 0


def test_a_key_for_a_model_that_nobody_serves_is_named_and_does_not_stop_the_start() -> None:
    aliases = {"fast": "rerankd-lexical"}
    keys = [
        {"name": "good", "key": "k", "models": ["rerankd-lexical", "fast"]},
        {"name": "all", "key": "l"},
        {"name": "search", "key": "m", "models": ["rerankd-lexical", "nosuch"]},
    ]
    made = settings(models=["rerankd-lexical"], aliases=aliases, keys=keys)
    plan = plan_of(made)
    said = list(unserved(made.keys, {*(spec.name for spec in plan.specs), *plan.aliases}))
    assert len(said) == 1
    assert said[0].startswith('keys "search": models names nosuch, which nobody serves here')
