"""A host that the operator allowed turns hostile: redirects, lies, drips, floods.

The store is at 127.0.0.2; whatever it answers, nothing may reach the listener at 127.0.0.1.
"""

from __future__ import annotations

import asyncio
import gzip
import socket
import ssl
import struct

import pytest

from tests.kit.media_files import picture
from tests.kit.media_kit import (
    FORBIDDEN,
    STORE,
    TLS,
    Answer,
    Server,
    World,
    listening,
    redirect,
    refused,
    reply,
    seeing,
    world,
)
from tests.kit.support import local

NOT_ALLOWED = "not allowed here (media.allow)"
PNG = picture()


def drip(start: bytes, *, every_s: float = 0.05) -> Answer:
    """One byte at a time, for ever."""

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(start)
        while True:
            await writer.drain()
            await asyncio.sleep(every_s)
            writer.write(b"a")

    return answer


def flood(start: bytes, block: bytes) -> Answer:
    """As fast as it goes, for ever."""

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(start)
        while True:
            writer.write(block)
            await writer.drain()

    return answer


def silence(start: bytes) -> Answer:
    """A beginning, then nothing."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(start)
        await writer.drain()
        await reader.read()

    return answer


OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"transfer-encoding: chunked\r\n\r\n"
BROKEN = "broke off, or does not speak HTTP"

# What is wrong -> what the store answers, what the error says.
ANSWERS: dict[str, tuple[Answer | bytes, str]] = {
    "status 404": (reply(PNG, status="404 Not Found"), "HTTP status 404"),
    "status 206": (reply(PNG, status="206 Partial Content"), "HTTP status 206"),
    "status 304": (reply(b"", status="304 Not Modified"), "HTTP status 304"),
    "status 401": (reply(PNG, status="401 Unauthorized"), "HTTP status 401"),
    "an upgrade": (OK.replace(b"200 OK", b"101 Switching") + b"\r\n" + PNG, BROKEN),
    "an empty body": (reply(b""), "empty body"),
    "a lying type": (reply(b"<html><script>", content_type="image/png"), "it is HTML"),
    "a refresh in HTML": (
        reply(b'<html><meta http-equiv="refresh" content="0;url=http://127.0.0.1/">'),
        "it is HTML",
    ),
    "a gzip bomb": (reply(gzip.compress(bytes(10**7)), content_encoding="gzip"), "compressed body"),
    "a coding that nobody knows": (reply(PNG, content_encoding="x-bomb"), "compressed body"),
    "gzip without saying so": (reply(gzip.compress(PNG)), "it is gzip"),
    "a length over the limit": (reply(PNG, content_length="999999999"), "more than 20000 bytes"),
    "a length that is too long": (reply(PNG, content_length="9999"), BROKEN),
    "a length that is too short": (reply(PNG, content_length="40"), "damaged or cut off"),
    "two lengths": (OK + b"content-length: 9\r\ncontent-length: 8\r\n\r\n" + PNG, BROKEN),
    "a length that is no number": (reply(PNG, content_length="-1"), BROKEN),
    "an endless body": (flood(CHUNKED, b"3e8\r\n" + bytes(1000) + b"\r\n"), "more than 20000"),
    "chunks of one byte": (flood(CHUNKED, b"1\r\nx\r\n" * 100), "absurdly small pieces"),
    "an endless body without a length": (flood(OK + b"\r\n", bytes(1000)), "more than 20000"),
    "a broken chunk": (CHUNKED + b"zz\r\n" + PNG, BROKEN),
    "a chunk that breaks off": (CHUNKED + b"ffff\r\n" + PNG, BROKEN),
    "endless headers": (flood(OK, b"x-a: " + bytes(range(97, 122)) * 40 + b"\r\n"), BROKEN),
    "endless interim answers": (
        flood(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100),
        BROKEN,
    ),
    "no HTTP": (b"SSH-2.0-OpenSSH_9.9\r\n", BROKEN),
    "nothing and gone": (b"", BROKEN),
    "nothing, open": (silence(b""), "nothing for 0.4 s ("),
    "headers, then nothing": (silence(OK), "nothing for 0.4 s ("),
    "half a body, then nothing": (silence(reply(PNG)[:-20]), "nothing for 0.4 s ("),
    "headers that drip": (drip(OK), "within 1 s (media.fetch_s)"),
    "a body that drips": (drip(OK + b"content-length: 9999\r\n\r\n"), "within 1 s (media.fetch_s)"),
    "a redirect to nowhere": (reply(b"", status="302 Found"), "redirects to nowhere"),
    "two redirects at once": (
        reply(b"", status="302 Found", location="/a\r\nlocation: /b"),
        "redirects to nowhere",
    ),
    "a redirect that is no text": (
        OK.replace(b"200 OK", b"302 Found") + b"location: /\xff\xfe\r\ncontent-length: 0\r\n\r\n",
        "redirects to what is no URL",
    ),
}


@pytest.mark.parametrize("case", ANSWERS)
async def test_a_hostile_answer_is_refused_in_time(case: str) -> None:
    answer, says = ANSWERS[case]
    async with world() as around:
        around.store.routes["/a.png"] = answer
        waits = {"fetch_s": 600.0, "read_s": 600.0}  # over deadline_s: what waits for them is a 504
        if " s (" in says:
            waits |= {"fetch_s": 1.0} if "fetch_s" in says else {"read_s": 0.4}
        values = around.values(image_bytes=20_000, **waits)
        async with seeing(values, names=around.names) as (client, state):
            await refused(client, "image", around.url("/a.png?secret=1"), says)
            media = local(state).pipeline.media
            assert media is not None
            assert (media.encoded.used_bytes, media.decoded.used_bytes) == (0, 0)


async def test_the_store_of_these_tests_outlives_a_reset_while_it_waits() -> None:
    """uvloop calls a write to a connection that is closed by then a RuntimeError."""
    met: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: met.append(context))
    async with listening(Server(STORE)) as store:
        store.routes["/a.png"] = drip(OK)
        with socket.create_connection((STORE, store.port)) as gone:
            gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            gone.sendall(b"GET /a.png HTTP/1.1\r\n\r\n")
            while not store.open_now:
                await asyncio.sleep(0.01)
        while store.open_now:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0)
    assert met == []


# What is wrong -> where the store redirects to ({p} = the port of both), what the error says.
REDIRECTS = {
    "to loopback": ("http://127.0.0.1:{p}/", NOT_ALLOWED),
    "to loopback in decimal": ("http://2130706433:{p}/", NOT_ALLOWED),
    "to IPv6 loopback": ("http://[::1]:{p}/", NOT_ALLOWED),
    "to a name of loopback": ("http://inside.test:{p}/", NOT_ALLOWED),
    "to metadata": ("http://169.254.169.254:{p}/latest/meta-data/", "public addresses"),
    "to 0.0.0.0": ("http://0.0.0.0:{p}/", "public addresses"),
    "without a scheme to loopback": ("//127.0.0.1:{p}/", NOT_ALLOWED),
    "to another port": ("http://127.0.0.2:22/", NOT_ALLOWED),
    "with a user": ("http://images.test:{p}@127.0.0.1:{p}/", "user or a password"),
    "with a backslash": ("/\\127.0.0.1:{p}/", "backslash"),
    "to a file": ("file:///etc/passwd", "only http and https"),
    "to data": ("data:image/png;base64,AAAA", "only http and https"),
    "to a gopher": ("gopher://127.0.0.1:{p}/", "only http and https"),
    "to itself": ("/a.png", "redirects more than 3 times"),
    "by way of two": ("/second", NOT_ALLOWED),
}


@pytest.mark.parametrize("case", REDIRECTS)
async def test_a_redirect_is_checked_like_a_url(case: str) -> None:
    to, says = REDIRECTS[case]
    async with world() as around:
        around.names.add("inside.test", [FORBIDDEN])
        around.store.routes["/a.png"] = redirect(to.replace("{p}", str(around.port)))
        around.store.routes["/second"] = redirect("/third", "307 Temporary Redirect")
        around.store.routes["/third"] = redirect(
            f"http://127.0.0.1:{around.port}/", "308 Permanent Redirect"
        )
        async with seeing(around.values(), names=around.names) as (client, _):
            await refused(client, "image", around.url("/a.png"), says)
        assert around.store.connections >= 4  # the store was asked in every dialect


async def test_dns_rebinding_finds_no_second_look_up() -> None:
    """The first ask gets the store, any further one loopback: whoever asks twice goes there."""
    async with world() as around:
        around.store.routes["/a.png"] = reply(PNG)
        async with seeing(around.values(), names=around.names) as (client, _):
            for turn in range(5):
                name = f"rebind{turn}.test"
                around.names.add(name, [STORE], [FORBIDDEN])
                url = around.url("/a.png", name)
                body = {"query": "q", "documents": [{"image": url}]}
                assert (await client.post("/v1/rerank", json=body)).status_code == 200
                assert around.names.asked.count(f"{name} A") == 1
                await refused(client, "image", url, NOT_ALLOWED)


async def test_dns_rebinding_between_redirects() -> None:
    async with world() as around:
        around.names.add("hop.test", [STORE], [FORBIDDEN])
        around.store.routes["/a.png"] = redirect(around.url("/b.png", "hop.test"))
        async with seeing(around.values(), names=around.names) as (client, _):
            body = {"query": "q", "documents": [{"image": around.url("/a.png", "hop.test")}]}
            answer = await client.post("/v1/rerank", json=body)
        assert answer.status_code == 400
        assert NOT_ALLOWED in answer.json()["message"]


@pytest.fixture
def certified(monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """A certificate for secure.test, of an authority that the system trusts."""
    monkeypatch.setenv("SSL_CERT_FILE", str(TLS / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(TLS / "server.pem")
    return context


def https(around: World, server: Server, host: str) -> tuple[dict[str, object], str]:
    around.names.add(host, [STORE])
    ports = [80, 443, around.port, server.port]
    return around.values(ports=ports), f"https://{host}:{server.port}/a.png"


async def test_tls_is_for_the_name_though_the_address_is_pinned(certified: ssl.SSLContext) -> None:
    async with world() as around, listening(Server(STORE), certified) as server:
        server.routes["/a.png"] = reply(PNG)
        values, url = https(around, server, "secure.test")
        async with seeing(values, names=around.names) as (client, _):
            body = {"query": "q", "documents": [{"image": url}]}
            assert (await client.post("/v1/rerank", json=body)).status_code == 200


async def test_a_certificate_of_another_name_is_refused(certified: ssl.SSLContext) -> None:
    async with world() as around, listening(Server(STORE), certified) as server:
        values, url = https(around, server, "other.test")
        async with seeing(values, names=around.names) as (client, _):
            await refused(client, "image", url, "no valid certificate")


async def test_a_certificate_that_nobody_trusts_is_refused(
    certified: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    async with world() as around, listening(Server(STORE), certified) as server:
        values, url = https(around, server, "secure.test")
        async with seeing(values, names=around.names) as (client, _):
            await refused(client, "image", url, "no valid certificate")


async def test_a_redirect_from_https_to_http_is_refused(certified: ssl.SSLContext) -> None:
    async with world() as around, listening(Server(STORE), certified) as server:
        server.routes["/a.png"] = redirect(around.url("/a.png"))
        values, url = https(around, server, "secure.test")
        async with seeing(values, names=around.names) as (client, _):
            await refused(client, "image", url, "redirects from https to http")
        assert around.store.connections == 0


async def test_https_to_a_port_that_speaks_no_tls() -> None:
    async with (
        world() as around,
        seeing(around.values(fetch_s=1), names=around.names) as (client, _),
    ):
        url = around.url("/a.png").replace("http:", "https:")
        await refused(client, "image", url, "within 1 s")


async def test_a_port_where_nobody_listens() -> None:
    async with world() as around:
        async with listening(Server(STORE)) as gone:
            port = gone.port
        values = around.values(ports=[port])
        async with seeing(values, names=around.names) as (client, _):
            url = f"http://images.test:{port}/a.png"
            await refused(client, "image", url, "its host could not be reached")


async def test_a_request_carries_nothing_of_the_caller(capsys: pytest.CaptureFixture[str]) -> None:
    """No key, no cookie, no header of the caller's; no query string in a log."""
    async with world() as around:
        around.store.routes["/a.png"] = reply(PNG, set_cookie="track=1")
        async with seeing(around.values(), names=around.names) as (client, _):
            body = {"query": "q", "documents": [{"image": around.url("/a.png?token=sesame")}]}
            headers = {"authorization": "Bearer sk-mine", "cookie": "a=b", "referer": "http://me"}
            for _ in range(2):
                await client.post("/v1/rerank", json=body, headers=headers)
    head = around.store.heads[1].decode().lower()
    assert set(head.splitlines()) == {
        "get /a.png?token=sesame http/1.1",
        f"host: images.test:{around.port}",
        "user-agent: rerankd",
        "accept: image/*, video/*",
        "accept-encoding: identity",
        "connection: close",
        "",
    }
    logged = capsys.readouterr()
    assert "sesame" not in logged.out + logged.err
