"""One record per request; the log event and the metrics are both made from it.

Never in a record: document text, query text, a key.
"""

from __future__ import annotations

from dataclasses import dataclass

from rerankd.core.answer import RouteFacts
from rerankd.core.cost import Cost


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRecord:
    """What happened to one rerank request."""

    request_id: str
    path: str
    client: str  # network of the caller, see web.client; "" when it is not known
    agent: str  # as the client names itself
    dialect: str
    key: str  # name of the key, "" when the server is open
    asked: str  # the model's name in the request, "" = the default
    model: str  # who answered or would have, "" when that was never known
    stood_in: bool = False  # nobody serves the name asked for, the alias `*` answered
    status: int
    error: str  # kind of the error, "" on success
    body_bytes: int
    cost: Cost
    route: RouteFacts | None = None  # who answered a routed name
    attempts: tuple[str, ...] = ()  # of a routed name, that failed
    total_s: float
