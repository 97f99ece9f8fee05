"""What a dialect is: pure functions between bytes and the canonical request and answer.

A dialect owns its paths, its fields with their ranges, the look of its answers and errors, and
how its provider is called. Adding one is adding one file (docs/add-a-dialect.md); nothing else
asks which dialect a request speaks.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from rerankd.core.answer import Ranking
from rerankd.core.embedding import Embedded, EmbedRequest
from rerankd.core.errors import EngineFailed, RerankError
from rerankd.core.facts import ModelFacts
from rerankd.core.request import Content, RerankRequest
from rerankd.dialects.failures import error_of
from rerankd.dialects.wire import JSON, Envelope, Options, WireAnswer, WireRequest

BEARER = ("authorization",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """What tells a dialect on paths that it shares with others.

    All of it must hold: the header is there, all `keys` are keys of the body (null counts), and
    none of `absent` is.
    """

    paths: tuple[str, ...]
    header: str | None = None
    keys: frozenset[str] = frozenset()
    absent: frozenset[str] = frozenset()

    def holds(self, headers: Mapping[str, str], keys: frozenset[str] | None) -> bool:
        """Whether a request carries the mark; `keys` is None before the body is read."""
        if self.header is not None and self.header not in headers:
            return False
        if keys is None:
            return not (self.keys or self.absent)
        return self.keys <= keys and self.absent.isdisjoint(keys)


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedBody:
    """A parsed body: what to rank, and how to write the answer when all of it is ranked.

    Several requests are one body's pairs, by query, for one model. `places[i][j]` is then the
    body's own index of requests[i].documents[j]: it is what errors name.
    """

    requests: tuple[RerankRequest, ...]
    # Values that fields of the requests have when the caller says nothing, by his dialect.
    assumed: Mapping[str, object] = field(default_factory=dict[str, object])
    render: Callable[[Sequence[Ranking], Envelope], WireAnswer]
    places: tuple[tuple[int, ...], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedTexts:
    """A parsed body: what to embed, and how to write the answer when all of it is embedded."""

    request: EmbedRequest
    render: Callable[[Embedded, Envelope], WireAnswer]
    number_bytes: int  # that one number of a vector takes in the answer, at most
    echoes: bool = False  # whether the answer has the texts too


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """A request to a provider, and the canonical fields that it could not carry."""

    wire: WireRequest
    lost: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerFacts:
    """What a probe may tell: the names that the caller's key may use, default first."""

    version: str
    created: int  # unix time of the start, seconds
    now: float  # unix time, seconds
    models: tuple[ModelFacts, ...]  # one per name; empty for a probe that is public
    documents: int  # most documents of a request
    request_tokens: int  # most tokens of a request
    queue_tokens: int  # most tokens that wait
    tokenizers: int  # threads that tokenise
    healthy: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """A GET that a provider's clients make beside reranking.

    `render` gets the path's parameters; it may raise RerankError. A probe that is `public` needs
    no key; one that asks for `health` waits until every model has scored a pair.
    """

    paths: tuple[str, ...]  # below the dialect's prefix
    root: tuple[str, ...] = ()  # at the root
    summary: str
    answer: Any  # msgspec type of the body; None when it is empty
    render: Callable[[ServerFacts, Mapping[str, str]], WireAnswer]
    public: bool = False
    health: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Endpoint:
    """What every POST of a dialect has: where it is, who may call it, how its errors look.

    Paths may hold `{name}`, which matches slashes too. `body` and `answer` are the msgspec types
    of the request and of the answer, `errors` those of the error bodies by status (None: empty).
    """

    name: str
    prefix: str | None  # None: the root's own, which speaks for every path that no one claims
    paths: tuple[str, ...]  # below /{prefix}
    root: tuple[str, ...] = ()  # at the root, where the path alone decides
    marks: tuple[Mark, ...] = ()  # at paths that others have, where header or body decides
    summary: str
    body: type[msgspec.Struct]
    answer: Any
    errors: Mapping[int, Any]
    key_headers: tuple[str, ...] = BEARER  # lower-case, tried in this order
    any_content_type: bool = False  # the provider's server reads JSON whatever it is called
    render_error: Callable[[RerankError, Envelope, Options], WireAnswer]
    probes: tuple[Probe, ...] = ()

    def own_paths(self) -> tuple[str, ...]:
        """Absolute paths that lead here unless a mark of another dialect holds."""
        start = "" if self.prefix is None else f"/{self.prefix}"
        return (*(start + path for path in self.paths), *self.root)

    def presented_key(self, headers: Mapping[str, str]) -> bytes | None:
        """The key as the bytes that were sent; None when absent."""
        return presented_key(headers, self.key_headers)


def all_said(_: RerankRequest) -> tuple[str, ...]:
    """Nothing: the format has a place for every value of the fields that it carries."""
    return ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Dialect(Endpoint):
    """One provider's rerank format, both directions.

    To serve it: `parse` raises InvalidRequest naming the field; `render` and `render_error` never
    fail. To call it: `encode` makes the provider's request and raises InvalidRequest for a query
    or document that the provider cannot read; `decode` reads the body of a 200.

    `carries` names the canonical fields that the format has a place for (query and documents
    always); `implies` gives the value that leaving a field out means there, where it is not
    RerankRequest's own default. `unsaid` names fields that have a place, but none for the value
    that they have in a request. `tells` names the fields of a Ranking that the answer has.
    `assumes` gives the values that `parse` gives to fields that a body does not have, where they
    are not RerankRequest's own.
    """

    parse: Callable[[WireRequest, Options], RerankRequest]
    render: Callable[[RerankRequest, Ranking, Envelope], WireAnswer]
    encode: Callable[[RerankRequest], WireRequest]
    decode: Callable[[WireAnswer, RerankRequest], Ranking]
    decode_error: Callable[[WireAnswer], RerankError] = error_of
    carries: frozenset[str]
    implies: Mapping[str, object] = field(default_factory=dict[str, object])
    unsaid: Callable[[RerankRequest], tuple[str, ...]] = all_said
    tells: frozenset[str]
    assumes: Mapping[str, object] = field(default_factory=dict[str, object])

    def parse_body(self, wire: WireRequest, options: Options) -> ParsedBody:
        """One request to rank. Raises InvalidRequest."""
        request = self.parse(wire, options)

        def render(rankings: Sequence[Ranking], envelope: Envelope) -> WireAnswer:
            return self.render(request, rankings[0], envelope)

        return ParsedBody(requests=(request,), render=render, assumed=self.assumes)

    def outgoing(self, request: RerankRequest, key: str | None = None) -> Outgoing:
        """The provider's request, with its key, and what it could not say.

        Raises:
            InvalidRequest: the provider cannot read such a query or document.
        """
        wire = self.encode(request)
        headers = {"content-type": JSON, "accept": JSON, **wire.headers}
        if key is not None:
            name = self.key_headers[0]
            headers[name] = f"Bearer {key}" if name == "authorization" else key
        return Outgoing(wire=dataclasses.replace(wire, headers=headers), lost=self.lost(request))

    def lost(self, request: RerankRequest) -> tuple[str, ...]:
        """The canonical fields of a request that would not reach the provider."""
        lost: list[str] = []
        for name, default in _DEFAULTS.items():
            value = getattr(request, name)
            unsaid = name not in self.carries or value is None
            if unsaid and value != self.implies.get(name, default):
                lost.append(name)
        if request.return_documents is None and "return_documents" in lost:
            lost.remove("return_documents")  # nobody asked for anything
        return (*lost, *self.unsaid(request))

    def ranking(self, answer: WireAnswer, request: RerankRequest) -> Ranking:
        """A provider's answer as a ranking.

        Raises:
            RerankError: the error that the provider answered with; EngineFailed when the body is
                not what its API documents.
        """
        if answer.status != 200:
            raise self.decode_error(answer)
        try:
            return self.decode(answer, request)
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            raise EngineFailed(f"The answer is not {self.name}'s: {error}") from error


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scoring(Endpoint):
    """A provider's endpoint for (query, document) pairs: served, not called.

    `parse_body` raises InvalidRequest naming the field.
    """

    parse_body: Callable[[WireRequest, Options], ParsedBody]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Embedding(Endpoint):
    """A provider's endpoint for embeddings: served, not called.

    `parse_body` raises InvalidRequest naming the field.
    """

    parse_body: Callable[[WireRequest, Options], ParsedTexts]


AnyEndpoint = Dialect | Scoring | Embedding

_DEFAULTS: dict[str, object] = {
    found.name: found.default
    for found in dataclasses.fields(RerankRequest)
    if found.name not in ("query", "documents")
}


def grouped(queries: Iterable[Content]) -> tuple[tuple[int, ...], ...]:
    """The places of equal queries, by query, in the order in which each comes first; linear."""
    members: dict[tuple[str, str], list[int]] = {}
    for i, query in enumerate(queries):
        members.setdefault((query.modality, query.value), []).append(i)
    return tuple(tuple(places) for places in members.values())


def presented_key(headers: Mapping[str, str], names: Sequence[str]) -> bytes | None:
    """The key in the first of these headers that has one; `authorization`: Bearer, or no scheme.

    Args:
        headers: lower-case names, latin-1 values as ASGI frameworks give them.
        names: lower-case header names.
    """
    for name in names:
        value = headers.get(name, "")
        if name == "authorization":
            scheme, _, rest = value.strip().partition(" ")
            bare = not rest and scheme.lower() not in ("bearer", "basic")
            value = scheme if bare else rest if scheme.lower() == "bearer" else ""
        if value.strip():
            return value.strip().encode("latin-1")
    return None
