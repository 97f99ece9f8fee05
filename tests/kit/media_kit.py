"""What the tests of media/ share.

A real HTTP server, a real name server, a listener that must never be reached, and a model that
reads images. The files are in media_files.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dns.asyncresolver
import dns.exception
import dns.flags
import dns.message
import dns.rdatatype
import dns.rrset
import httpx2
import numpy as np

from rerankd.core.media import Media, VideoSampling
from rerankd.core.meter import Meter
from rerankd.core.request import Content, RerankRequest
from rerankd.core.rows import Prepared, Row
from rerankd.media.gate import Resolve
from rerankd.models.base import ModelCard
from rerankd.models.families import Family
from rerankd.models.load import Loaded, Spec
from rerankd.service.plan import ServingPlan
from rerankd.settings.schema import MediaSettings
from rerankd.web.app import create_app
from rerankd.web.assemble import make_state
from rerankd.web.state import State
from tests.kit.support import BytesModel, Json, settings

STORE, FORBIDDEN = "127.0.0.2", "127.0.0.1"  # an operator's image store, and what is not to be met
TLS = Path(__file__).parents[1] / "media" / "tls"
SAMPLING = VideoSampling(fps=1.0, min_frames=4, max_frames=64, factor=2)


def limits(**media: Any) -> MediaSettings:
    """The default limits, some changed."""
    return settings(media=media).media


Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class VisionModel(BytesModel):
    """Reads images and videos: a row is the query's bytes, then the mean of each frame."""

    def __init__(self, name: str = "fake-vision") -> None:
        super().__init__(name)
        self.card = ModelCard(
            name=name,
            family=Family(name="fake", modalities=frozenset({"text", "image", "video"})),
            window_tokens=None,
            score="test",
            video=SAMPLING,
        )
        self.seen: list[RerankRequest] = []
        self.wait: Callable[[], object] = lambda: None  # a test may hold requests here

    def prepare(self, request: RerankRequest, meter: Meter | None = None) -> Prepared:
        """One row per document."""
        self.seen.append(request)
        self.wait()
        rows = tuple(self._pair(request.query, document) for document in request.documents)
        return Prepared(rows=rows, owners=tuple(range(len(rows))))

    def _pair(self, query: Content, document: Content) -> Row:
        head, tail = _ids(query), _ids(document)
        return Row(np.array([*head, 1, *tail], dtype=np.int32), len(head))


def _ids(content: Content) -> list[int]:
    if content.media is None:
        assert content.modality == "text"
        return list(content.value.encode())
    return [int(frame.mean()) for frame in content.media.frames]


@dataclass
class Server:
    """Says what its routes say, byte for byte; counts connections, keeps heads of requests."""

    host: str
    port: int = 0
    routes: dict[str, Answer | bytes] = field(default_factory=dict[str, Any])
    heads: list[bytes] = field(default_factory=list[bytes])
    connections: int = 0
    open_now: int = 0
    most_open: int = 0

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, one request."""
        self.connections += 1
        self.open_now += 1
        self.most_open = max(self.most_open, self.open_now)
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            self.heads.append(head)
            path = head.split(b" ")[1].decode().partition("?")[0]
            answer = self.routes.get(path, reply(b"no such thing", status="404 Not Found"))
            if isinstance(answer, bytes):
                writer.write(answer)
                await writer.drain()
            else:
                await answer(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            pass
        except RuntimeError:  # uvloop's word for a write to a connection that was reset meanwhile
            if not writer.is_closing():
                raise
        finally:
            self.open_now -= 1
            writer.close()
            with contextlib.suppress(ConnectionError, ssl.SSLError):
                await writer.wait_closed()


def reply(body: bytes, *, status: str = "200 OK", **headers: str) -> bytes:
    """A whole answer; a header's value None leaves it out."""
    lines = {"content-length": str(len(body)), "content-type": "image/png"}
    lines |= {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"HTTP/1.1 {status}\r\n{head}\r\n".encode() + body


def redirect(location: str, status: str = "302 Found") -> bytes:
    """A redirect."""
    return reply(b"", status=status, location=location)


@contextlib.asynccontextmanager
async def listening(server: Server, tls: ssl.SSLContext | None = None) -> AsyncGenerator[Server]:
    """The server at its address; port 0 becomes a free one."""
    running = await asyncio.start_server(server.handle, server.host, server.port, ssl=tls)
    server.port = running.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        running.close()
        await asyncio.sleep(0)


class NameServer(asyncio.DatagramProtocol):
    """DNS over UDP. A name's records are a list of answers: the first ask gets the first."""

    def __init__(self) -> None:
        self.records: dict[tuple[str, str], list[list[str]]] = {}
        self.asked: list[str] = []
        self.port = 0
        self._transport: Any = None

    def add(self, name: str, *answers: Sequence[str], kind: str = "A") -> None:
        """Each answer is what one ask gets; the last one is for all further asks."""
        self.records[name, kind] = [list(answer) for answer in answers]

    def connection_made(self, transport: Any) -> None:
        """Keep it, for answers."""
        self._transport = transport
        self.port = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data: bytes, addr: Any) -> None:
        """Answer a query; names that start with "silent" get none."""
        query = dns.message.from_wire(data)
        question = query.question[0]
        name = str(question.name).rstrip(".")
        kind = dns.rdatatype.to_text(question.rdtype)
        self.asked.append(f"{name} {kind}")
        if name.startswith("silent"):
            return
        answer = dns.message.make_response(query)
        answer.flags |= dns.flags.RA
        while (alias := self.records.get((name, "CNAME"))) is not None:
            answer.answer.append(dns.rrset.from_text(name + ".", 0, "IN", "CNAME", alias[0][0]))
            name = alias[0][0].rstrip(".")
        answers = self.records.get((name, kind))
        if answers:
            found = answers.pop(0) if len(answers) > 1 else answers[0]
            if found:
                answer.answer.append(dns.rrset.from_text(name + ".", 0, "IN", kind, *found))
        self._transport.sendto(answer.to_wire(), addr)


@contextlib.asynccontextmanager
async def name_server() -> AsyncGenerator[NameServer]:
    """A name server on a free port."""
    loop = asyncio.get_running_loop()
    transport, server = await loop.create_datagram_endpoint(NameServer, local_addr=("127.0.0.1", 0))
    try:
        yield server
    finally:
        transport.close()


def resolver_of(server: NameServer) -> Resolve:
    """Asks the name server over the wire, for IPv4 and IPv6, without a cache."""
    client = dns.asyncresolver.Resolver(configure=False)
    client.nameservers, client.port, client.lifetime = ["127.0.0.1"], server.port, 30.0

    async def resolve(host: str) -> Sequence[str]:
        found: list[str] = []
        for kind in ("A", "AAAA"):
            try:
                answer = await client.resolve(host + ".", kind, raise_on_no_answer=False)
            except dns.exception.DNSException as error:
                raise OSError(str(error)) from error
            found += [str(record) for record in answer]
        return found

    return resolve


@dataclass
class World:
    """A store on one address, a listener on another that must stay alone, same port."""

    store: Server
    forbidden: Server
    names: NameServer

    @property
    def port(self) -> int:
        return self.store.port

    def values(self, **media: Any) -> Json:
        """Settings of an operator who named the store; other [media] settings beside."""
        return {"media": {"allow": [f"{STORE}/32"], "ports": [80, 443, self.port], **media}}

    def url(self, path: str = "/", host: str = "images.test") -> str:
        """A URL of the store."""
        return f"http://{host}:{self.port}{path}"

    def serve(self, path: str, body: bytes) -> str:
        """Put a file into the store; its URL."""
        self.store.routes[path] = reply(body)
        return self.url(path)


@contextlib.asynccontextmanager
async def world() -> AsyncGenerator[World]:
    """Everything around the server under test. After it, nobody met the forbidden listener."""
    async with contextlib.AsyncExitStack() as stack:
        store = await stack.enter_async_context(listening(Server(STORE)))
        forbidden = Server(FORBIDDEN, store.port)
        await stack.enter_async_context(listening(forbidden))
        with contextlib.suppress(OSError):  # a machine without IPv6
            six = await asyncio.start_server(forbidden.handle, "::1", store.port)
            stack.callback(six.close)
        names = await stack.enter_async_context(name_server())
        names.add("images.test", [STORE])
        yield World(store, forbidden, names)
        assert forbidden.connections == 0


@contextlib.asynccontextmanager
async def seeing(
    values: Json | None = None,
    *,
    names: NameServer | None = None,
    model: BytesModel | None = None,
) -> AsyncGenerator[tuple[httpx2.AsyncClient, State]]:
    """An in-process client of an app that serves one model that reads images."""
    chosen = model or VisionModel()

    def load(_: Spec) -> Loaded:
        return Loaded(model=chosen, warnings=())

    resolve = None if names is None else resolver_of(names)
    state = make_state(settings(**(values or {})), load=load, resolve=resolve)
    app: Any = create_app(state, ServingPlan(specs=(Spec(name=chosen.card.name),), aliases={}))
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    async with (
        app.app.router.lifespan_context(app.app),
        httpx2.AsyncClient(transport=transport, base_url="http://test") as client,
    ):
        yield client, state


def bodies(kind: str, value: str) -> Mapping[str, tuple[str, Json]]:
    """A request whose second document is an image or a video, by dialect: path and body."""
    plain = {"query": "q", "documents": ["text", {kind: value}]}
    part = {"type": f"{kind}_url", f"{kind}_url": {"url": value}}
    return {
        "superset": ("/v1/rerank", plain),
        "siliconflow": ("/siliconflow/v1/rerank", plain),
        "jina": ("/jina/v1/rerank", {"model": "fake-vision", **plain}),
        "vllm": (
            "/vllm/v1/rerank",
            {"model": "fake-vision", "query": "q", "documents": ["text", {"content": [part]}]},
        ),
    }


async def refused(client: httpx2.AsyncClient, kind: str, value: str, says: str) -> None:
    """Every dialect answers 400 (Jina 422), in its own form, names the document and says why."""
    for dialect, (path, body) in bodies(kind, value).items():
        answer = await client.post(path, json=body)
        status = 422 if dialect == "jina" else 400  # Jina's own for a bad field
        assert answer.status_code == status, (dialect, answer.status_code, answer.text)
        said = answer.json()
        message: str = said[{"jina": "detail", "vllm": "error"}.get(dialect, "message")]
        if dialect == "vllm":
            message = said["error"]["message"]
        assert message.startswith(f"documents[1]: this {kind} cannot be used: "), message
        assert says in message, message


def media_of(model: VisionModel) -> list[Media]:
    """What the model was given last, in document order."""
    return [content.media for _, content in model.seen[-1].contents() if content.media]


async def rank(client: httpx2.AsyncClient, *documents: Json | str) -> Json:
    """An answer, which must be a good one."""
    answer = await client.post("/v1/rerank", json={"query": "q", "documents": list(documents)})
    assert answer.status_code == 200, answer.text
    return answer.json()
