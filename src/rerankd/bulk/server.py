"""Another rerankd, or whoever speaks its superset at POST /v1/rerank, as who is asked."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Final

from rerankd.bulk.asked import Ask
from rerankd.core.answer import Ranking
from rerankd.core.errors import EngineFailed, Overloaded, StartError
from rerankd.core.request import RerankRequest
from rerankd.dialects.superset import DIALECT
from rerankd.gateway.address import Guard, Origin, origin_of
from rerankd.gateway.checked import wrong
from rerankd.gateway.failover import AttemptFailed
from rerankd.gateway.transport import Kept, Sent
from rerankd.media.gate import SystemResolver

_CONNECT_S: Final = 10.0
_ANSWER_S: Final = 600.0
_ANSWER_BYTES: Final = 256 << 20


def server_origin(url: str) -> Origin:
    """Where a server is. Raises StartError."""
    try:
        return origin_of(url)
    except StartError as error:
        raise StartError(f"--server {url}: {error}") from None


@asynccontextmanager
async def asked_server(origin: Origin, key: str | None, agent: str) -> AsyncGenerator[Ask]:
    """Who is asked, over connections that are kept.

    Args:
        origin: of the server; the operator named it: it may be anywhere.
        key: presented with every request; None = none.
        agent: who we say we are.
    """
    resolver = SystemResolver()
    transport = Kept(
        origin,
        Guard(origin, (origin.host,)),
        resolver,
        connect_s=_CONNECT_S,
        answer_bytes=_ANSWER_BYTES,
    )

    async def ask(request: RerankRequest) -> Ranking:
        whole = replace(request, top_n=None)  # all scores: so that they can be checked
        out = DIALECT.outgoing(whole, key).wire
        sent = Sent(
            target=origin.target(out.path),
            headers={**out.headers, "user-agent": agent},
            body=out.body,
        )
        try:
            answer = await transport.send(sent, timeout_s=_ANSWER_S)
        except AttemptFailed as failed:
            raise Overloaded(
                f"{origin.authority} did not answer ({failed.outcome}).", retry_after_s=0.0
            ) from failed
        found = DIALECT.ranking(answer, whole)
        if why := wrong(found, whole):
            raise EngineFailed(f"{origin.authority} answered what is no ranking: {why}.")
        return replace(found, hits=found.hits[: request.top_n])

    try:
        yield ask
    finally:
        await transport.close()
        resolver.close()
