"""What a connection may do around its requests: trailers, chunks, pipelines, half-closing."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Generator

import pytest
from edge import LOOPS, Edge, chunked, edge, post, read_all, read_until, send_until_closed

from rerankd.settings.schema import Limits
from rerankd.web.protocol import close_idle
from tests.kit.processes import PATIENCE_S

BOUNDS = Limits(body_s=30, body_bytes=1_000_000, write_s=30)


@pytest.fixture(params=LOOPS)
def served(request: pytest.FixtureRequest) -> Generator[Edge]:
    with edge(request.param, BOUNDS) as found:
        yield found


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


# Bounds on what follows the headers.

ENDLESS_BYTES = 60_000_000  # more than bounds and the buffers of both sockets
ENDLESS = {
    "trailers": (b"0\r\n", b"X-Trailer: " + b"t" * 1000 + b"\r\n"),
    "short trailers": (b"0\r\n", b"a:\r\n" * 250),
    "one trailer": (b"0\r\nX-Trailer: ", b"t" * 1000),
    "a trailer's name": (b"0\r\n", b"t" * 1000),
    "one extension": (b"1;x=", b"e" * 1000),
    "extensions": (b"", b"1;x=" + b"e" * 1000 + b"\r\nb\r\n"),
    "zeros of a size": (b"", b"0" * 1000),
    "tiny chunks": (b"", b"1\r\nb\r\n" * 200),
}


@pytest.mark.parametrize("path", ["/size", "/refuse"])
@pytest.mark.parametrize("case", ENDLESS)
def test_nothing_that_follows_the_headers_is_endless(served: Edge, case: str, path: str) -> None:
    before, part = ENDLESS[case]
    with served.connect() as client:
        client.sendall(chunked(path) + before)
        if path == "/refuse":
            assert read_until(client, b"/refuse").startswith(b"HTTP/1.1 401")
        assert send_until_closed(client, part, ENDLESS_BYTES) < ENDLESS_BYTES
    if path == "/size":
        until(lambda: served.app.left == ["/size"])
    with served.connect() as other:  # all others are served
        other.sendall(post("/size", b"abc"))
        assert read_until(other, b"3 bytes").startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("case", ["trailers", "one trailer", "extensions", "tiny chunks"])
def test_a_client_that_sends_too_much_framing_reads_why(served: Edge, case: str) -> None:
    before, part = ENDLESS[case]
    with served.connect() as client:
        client.sendall(chunked("/size") + before + part * (600_000 // len(part)))
        answer = read_all(client)
    assert answer.startswith(b"HTTP/1.1 431 Request Header Fields Too Large\r\n")
    assert b'"code":20015' in answer
    assert b"x-siliconcloud-trace-id: rerank-" in answer


def test_headers_and_trailers_share_one_limit(served: Edge) -> None:
    filler = "X-Filler: " + "f" * 40_000
    with served.connect() as client:
        client.sendall(chunked("/size", filler) + b"1\r\nb\r\n0\r\n\r\n")
        assert read_until(client, b"1 bytes").startswith(b"HTTP/1.1 200")
        trailer = b"0\r\nX-Trailer: " + b"t" * 40_000 + b"\r\n\r\n"
        client.sendall(chunked("/size", filler) + b"1\r\nb\r\n" + trailer)
        assert read_all(client).startswith(b"HTTP/1.1 431")


def test_trailers_are_read_and_are_no_headers(served: Edge) -> None:
    with served.connect() as client:
        trailers = b"0\r\nAuthorization: Bearer sk-late\r\nX-Sum: 1\r\n\r\n"
        client.sendall(chunked("/size") + b"3;a=b\r\nabc\r\n" + trailers)
        assert read_until(client, b"3 bytes").startswith(b"HTTP/1.1 200")
        assert [name for name, _ in served.app.headers] == [b"host", b"transfer-encoding"]
        client.sendall(post("/size", b"again"))
        read_until(client, b"5 bytes")


def test_too_many_headers_are_refused(served: Edge) -> None:
    with served.connect() as client:
        client.sendall(post("/size", b"", *(f"X-{n}: 1" for n in range(300))))
        answer = read_all(client)
    assert answer.startswith(b"HTTP/1.1 431")
    assert b"256 headers" in answer
    assert served.app.started == []


@pytest.mark.parametrize("head", [post("/refuse")[:-2].replace(b": 0", b": 999999999") + b"\r\n"])
def test_a_body_that_goes_on_after_its_answer_is_cut(served: Edge, head: bytes) -> None:
    with served.connect() as client:
        client.sendall(head)
        assert read_until(client, b"/refuse").startswith(b"HTTP/1.1 401")
        assert send_until_closed(client, b"b" * 65_536, ENDLESS_BYTES) < ENDLESS_BYTES


def test_a_body_that_drips_on_after_its_answer_is_cut() -> None:
    with edge("uvloop", Limits(body_s=0.5)) as served, served.connect() as client:
        client.sendall(chunked("/refuse"))
        read_until(client, b"/refuse")
        end = time.monotonic() + PATIENCE_S
        while not served.protocols[0].out.raw.is_closing():
            assert time.monotonic() < end
            send_until_closed(client, b"1\r\nb\r\n", 1)
            time.sleep(0.05)


def test_a_refused_body_that_ends_leaves_the_connection_usable(served: Edge) -> None:
    with served.connect() as client:
        client.sendall(post("/refuse", b"b" * 500_000) + post("/size", b"abc"))
        read_until(client, b"3 bytes")
    assert served.app.started == ["/refuse", "/size"]
    assert not served.protocols[0].cycle.body


def test_blank_lines_between_requests_do_not_keep_a_connection() -> None:
    with edge("uvloop", Limits(body_s=0.5)) as served, served.connect() as client:
        client.sendall(post("/size", b"abc"))
        read_until(client, b"3 bytes")
        end = time.monotonic() + PATIENCE_S
        while not served.protocols[0].out.raw.is_closing():
            assert time.monotonic() < end
            send_until_closed(client, b"\r\n", 1)
            time.sleep(0.05)


# Pipelines.


def test_pipelined_bodies_of_any_size_are_answered_in_order(served: Edge) -> None:
    sizes = [900_000, 3, 70_000, 0, 200_000, 65_536, 1, 900_000]
    with served.connect() as client:
        client.sendall(b"".join(post("/size", b"b" * size) for size in sizes))
        received = read_until(client, b" bytes", len(sizes))
    assert received.count(b"HTTP/1.1 200 OK") == len(sizes)
    assert [int(part.split()[-1]) for part in received.split(b" bytes")[:-1]] == sizes


def test_pipelined_requests_wait_unread(served: Edge) -> None:
    many = post("/size", b"abc") * 200_000
    with served.connect() as client:
        client.sendall(post("/wait"))
        until(lambda: served.app.started == ["/wait"])
        client.settimeout(1)
        with pytest.raises(TimeoutError):  # nobody reads on
            client.sendall(many)
        protocol = served.protocols[0]
        assert len(protocol.pipeline) < 100
        assert 0 < len(protocol._held) < 1_000_000  # pyright: ignore[reportPrivateUsage]
        assert served.app.started == ["/wait"]
        client.settimeout(PATIENCE_S)
        served.call(served.app.go.set)
        read_until(client, b"3 bytes", 3000)


def test_an_answer_comes_before_the_refusal_of_what_follows(served: Edge) -> None:
    with served.connect() as client:
        client.sendall(post("/wait") + post("/size", b"abc") + b"\x16\x03\x01 no HTTP\r\n\r\n")
        until(lambda: served.app.started == ["/wait"])
        served.call(served.app.go.set)
        received = read_all(client)
    statuses = [part[:3] for part in received.split(b"HTTP/1.1 ")[1:]]
    assert statuses == [b"200", b"200", b"400"]


# Clients that end their sending side, and clients that leave.


@pytest.mark.parametrize("requests", [[b"abc"], [b"abc", b"b" * 200_000, b""]], ids=["1", "3"])
def test_a_client_that_half_closes_gets_its_answers(served: Edge, requests: list[bytes]) -> None:
    with served.connect() as client:
        client.sendall(b"".join(post("/size", body) for body in requests))
        client.shutdown(socket.SHUT_WR)
        received = read_all(client)
    assert received.startswith(b"HTTP/1.1 200 OK\r\n")
    assert [int(part.split()[-1]) for part in received.split(b" bytes")[:-1]] == [
        len(body) for body in requests
    ]
    until(lambda: not served.state.connections)


def test_a_half_closed_client_waits_for_a_slow_answer(served: Edge) -> None:
    with served.connect() as client:
        client.sendall(post("/wait"))
        client.shutdown(socket.SHUT_WR)
        until(lambda: served.app.started == ["/wait"])
        time.sleep(0.5)  # some probes are sent: they are the start of the status line
        served.call(served.app.go.set)
        received = read_all(client)
    assert received.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"connection: close" in received
    assert received.endswith(b"\r\n\r\n/wait")
    assert served.app.left == []


@pytest.mark.parametrize("before", ["nothing", "half-close"])
def test_a_client_that_is_gone_is_noticed(served: Edge, before: str) -> None:
    with served.connect() as client:
        client.sendall(post("/wait") + post("/size", b"abc"))
        until(lambda: served.app.started == ["/wait"])
        if before == "half-close":
            client.shutdown(socket.SHUT_WR)
            time.sleep(0.3)
            assert served.app.left == []
    until(lambda: served.app.left == ["/wait"])
    until(lambda: not served.state.connections)
    assert served.app.started == ["/wait"]  # what waited behind it is not begun


@pytest.mark.parametrize("sent", [post("/size", b"abc")[:-1], chunked("/size") + b"3\r\nabc\r\n"])
def test_a_half_closed_request_that_is_not_whole_has_no_answer(served: Edge, sent: bytes) -> None:
    with served.connect() as client:
        client.sendall(post("/size", b"") + sent)
        client.shutdown(socket.SHUT_WR)
        received = read_all(client)
    assert received.count(b"HTTP/1.1 200") == 1
    until(lambda: not served.state.connections)


def test_an_idle_connection_ends_when_the_client_ends_it(served: Edge) -> None:
    with served.connect() as client:
        client.sendall(post("/size", b"abc"))
        read_until(client, b"3 bytes")
        client.shutdown(socket.SHUT_WR)
        assert read_all(client) == b""


# Offers of other protocols.

OFFERS = {
    "h2c": ["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAEAAEAA"],
    "websocket": ["Upgrade: websocket", "Connection: keep-alive, Upgrade", "Sec-WebSocket-Key: x"],
    "anything": ["Upgrade: IRC/6.9, RTA/x11", "connection: upgrade"],
}


@pytest.mark.parametrize("offer", OFFERS)
@pytest.mark.parametrize("form", ["length", "chunks"])
def test_an_offer_is_ignored_and_the_body_read(served: Edge, offer: str, form: str) -> None:
    body = b"b" * 100_000
    if form == "length":
        request = post("/size", body, *OFFERS[offer])
    else:
        request = chunked("/size", *OFFERS[offer]) + b"%x\r\n%b\r\n0\r\nX-T: 1\r\n\r\n" % (
            len(body),
            body,
        )
    with served.connect() as client:
        client.sendall(request + post("/size", b"abc") + request)
        received = read_until(client, b" bytes", 3)
    assert [int(part.split()[-1]) for part in received.split(b" bytes")[:-1]] == [
        100_000,
        3,
        100_000,
    ]
    assert b"upgrade" not in {name for name, _ in served.app.headers}


@pytest.mark.parametrize("step", [1, 7, 1000])
def test_an_offer_is_ignored_however_it_arrives(served: Edge, step: int) -> None:
    request = post("/size", b"abc" * 100, *OFFERS["h2c"])
    with served.connect() as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in range(0, len(request), step):
            client.sendall(request[at : at + step])
        read_until(client, b"300 bytes")


def test_an_offer_with_an_expectation_is_told_to_continue(served: Edge) -> None:
    request = post("/size", b"abc", *OFFERS["h2c"], "Expect: 100-continue")
    with served.connect() as client:
        client.sendall(request[:-3])
        assert read_until(client, b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(request[-3:])
        read_until(client, b"3 bytes")


def test_an_offer_of_a_get_is_answered(served: Edge) -> None:
    lines = ["GET /page HTTP/1.1", "Host: x", *OFFERS["websocket"], "", ""]
    with served.connect() as client:
        client.sendall("\r\n".join(lines).encode())
        read_until(client, b"\r\n\r\n/page")


def test_a_refusal_before_an_expected_body_ends_the_connection(served: Edge) -> None:
    with served.connect() as client:
        client.sendall(post("/refuse", b"abc", "Expect: 100-continue")[:-3])
        received = read_all(client)
    assert received.startswith(b"HTTP/1.1 401")
    assert b"connection: close" in received


SMUGGLED = {
    "both": ["Content-Length: 3", "Transfer-Encoding: chunked"],
    "both, turned": ["Transfer-Encoding: chunked", "Content-Length: 3"],
    "two lengths": ["Content-Length: 3", "Content-Length: 4"],
    "a list of lengths": ["Content-Length: 3, 4"],
    "a sign": ["Content-Length: +3"],
    "hexadecimal": ["Content-Length: 0x3"],
    "unknown coding": ["Transfer-Encoding: xchunked"],
    "chunked is not last": ["Transfer-Encoding: chunked, identity"],
    "twice": ["Transfer-Encoding: chunked", "Transfer-Encoding: identity"],
    "a space before the colon": ["Content-Length : 3"],
    "a bare CR": ["Content-Length: 3\rX: y"],
}


@pytest.mark.parametrize("offer", [[], OFFERS["h2c"]], ids=["plain", "offer"])
@pytest.mark.parametrize("case", SMUGGLED)
def test_two_readings_of_a_length_are_one_400(served: Edge, case: str, offer: list[str]) -> None:
    lines = ["POST /size HTTP/1.1", "Host: x", *offer, *SMUGGLED[case], "", ""]
    smuggled = b"0\r\n\r\n" + post("/refuse")
    with served.connect() as client:
        client.sendall("\r\n".join(lines).encode() + smuggled)
        received = read_all(client)
    assert received.startswith(b"HTTP/1.1 400")
    assert received.count(b"HTTP/1.1") == 1
    assert "/refuse" not in served.app.started


def test_a_tunnel_is_refused(served: Edge) -> None:
    with served.connect() as client:
        client.sendall(b"CONNECT example.org:443 HTTP/1.1\r\nHost: x\r\n\r\n" + post("/size"))
        received = read_all(client)
    assert received.startswith(b"HTTP/1.1 400")
    assert received.count(b"HTTP/1.1") == 1


# Readers.


def test_a_reader_that_stops_is_cut_and_one_that_is_slow_is_not() -> None:
    with edge("uvloop", Limits(write_s=2.0)) as served:
        check_readers(served)


def test_so_it_is_on_the_other_loop() -> None:
    with edge("asyncio", Limits(write_s=2.0)) as served:
        check_readers(served)


def check_readers(served: Edge) -> None:
    with served.connect(receive_bytes=65_536) as stopped, served.connect() as slow:
        for client in (stopped, slow):
            client.sendall(post("/big"))
        received = 0
        end = time.monotonic() + 4
        while time.monotonic() < end:
            received += len(slow.recv(100_000))
            time.sleep(0.05)
        until(lambda: served.app.sent == ["/big"])  # the one that is cut: its send returns
        while received < 32_000_000:
            part = slow.recv(1_048_576)
            assert part
            received += len(part)
    until(lambda: served.app.sent == ["/big", "/big"])
    until(lambda: not served.state.connections)


def test_an_answer_waits_outside_the_transport(served: Edge) -> None:
    with served.connect(receive_bytes=65_536) as client:
        client.sendall(post("/big"))
        until(lambda: served.app.started == ["/big"])
        time.sleep(0.5)
        assert served.protocols[0].out.raw.get_write_buffer_size() <= 200_000
        assert served.app.sent == []
        assert len(read_until(client, b"x" * 32)) > 0


def test_a_stopped_reader_of_small_answers_is_cut() -> None:
    with (
        edge("uvloop", Limits(write_s=1.0)) as served,
        served.connect(receive_bytes=4096) as client,
    ):
        send_until_closed(client, b"GET /page HTTP/1.1\r\nHost: x\r\n\r\n" * 1000, 10**9)
        until(lambda: not served.state.connections)


# The end of the server.


def test_idle_connections_end_and_busy_ones_are_answered(served: Edge) -> None:
    with served.connect() as idle, served.connect() as busy, served.connect() as begun:
        idle.sendall(post("/size", b"abc"))
        read_until(idle, b"3 bytes")
        busy.sendall(post("/wait"))
        begun.sendall(post("/size", b"abc"))
        read_until(begun, b"3 bytes")
        begun.sendall(b"POST /size HT")
        until(lambda: "/wait" in served.app.started)
        until(lambda: any(p._begun for p in served.protocols))  # pyright: ignore[reportPrivateUsage]
        served.call(lambda: close_idle(served.state.connections))
        assert read_all(idle) == b""
        served.call(served.app.go.set)
        read_until(busy, b"/wait")
        begun.sendall(b"TP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n12345")
        read_until(begun, b"5 bytes")
