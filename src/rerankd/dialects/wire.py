"""What crosses the seam between a dialect and HTTP: frozen data, in both directions."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field

from rerankd.core.cost import NOTHING, Cost

JSON = "application/json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the operator decides for all dialects."""

    contact: str | None = None  # whom to ask for more, named in rate limit errors
    return_documents: bool | None = None  # None = each dialect's own default
    documents: int | None = None  # most documents, or pairs, of a body; None = any number
    json_values: int | None = None  # most keys and values of a JSON text; None = any number


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """What an answer carries beside the ranking."""

    request_id: str
    created: int  # unix time, seconds
    engine: str = ""  # which engine scored
    cost: Cost = NOTHING  # of the whole body
    total_s: float = 0.0  # since its headers

    @property
    def uuid(self) -> str:
        """The request's id in the form of a UUID, always the same for the same id."""
        return str(uuid.uuid5(uuid.NAMESPACE_OID, self.request_id))


@dataclass(frozen=True, slots=True, kw_only=True)
class WireRequest:
    """An HTTP request: one that came, or one that a dialect made for its provider.

    `path` starts at the provider's root and has no query string. `params` are the parts of the
    path that a `{name}` of the dialect's path stands for.
    """

    path: str
    body: bytes = b""
    method: str = "POST"
    headers: Mapping[str, str] = field(default_factory=dict[str, str])  # lower-case names
    params: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True, kw_only=True)
class WireAnswer:
    """A finished HTTP answer: ours, or a provider's. Header names are lower-case."""

    status: int
    body: bytes
    content_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
