"""The calling direction, what dialects share: canonical values to wire values, rankings back."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from rerankd.core.answer import Hit, Ranking
from rerankd.core.cost import known_sum
from rerankd.core.errors import EngineFailed, InvalidRequest
from rerankd.core.request import Content, RerankRequest
from rerankd.dialects.wire import WireRequest


def post(path: str, body: Mapping[str, Any], **params: str) -> WireRequest:
    """A JSON request; keys whose value is None are left out."""
    said = {name: value for name, value in body.items() if value is not None}
    return WireRequest(path=path, body=msgspec.json.encode(said), params=params)


def changed(value: Any, default: Any) -> Any:
    """A value to send only when it is not the provider's default: else None, which is left out."""
    return None if value == default else value


def as_sent(content: Content, *, ranked: bool = False) -> str | Mapping[str, object]:
    """A query or document for a provider that reads strings and objects.

    An object is passed on as it came when the provider will read the same of it: by its `text`
    (or `image`, `video`), or by rank_fields, when those are sent too (`ranked`).
    """
    echo = content.echo
    if echo is not None and (ranked or echo.get(content.modality) == content.value):
        return echo
    return content.value if content.modality == "text" else {content.modality: content.value}


def documents_of(
    request: RerankRequest, *, ranked: bool = False
) -> list[str | Mapping[str, object]]:
    """All documents, as `as_sent`; `ranked` when the provider gets the request's rank_fields."""
    ranked = ranked and bool(request.rank_fields)
    return [as_sent(document, ranked=ranked) for document in request.documents]


def as_text(content: Content, name: str, provider: str) -> str:
    """A query or document for a provider that reads strings only: the text that is ranked.

    Raises:
        InvalidRequest: it is an image or a video; names the field.
    """
    if content.modality != "text":
        raise InvalidRequest(
            f"{name}: is {content.modality}; {provider} reads text only.", param=name
        )
    return content.value


def cut(request: RerankRequest) -> bool | None:
    """Of one field that cuts documents and query: true both, false neither, None documents only.

    None leaves the field out: that is how a dialect with such a field reads its absence here.
    """
    if not request.truncation:
        return False
    return True if request.truncate_query else None


def uncut(request: RerankRequest) -> tuple[str, ...]:
    """What `cut` has no value for: a query that is cut beside documents that are not."""
    return ("truncate_query",) if request.truncate_query and not request.truncation else ()


def named(request: RerankRequest) -> Iterable[tuple[str, Content]]:
    """The query and all documents with their names for errors."""
    yield "query", request.query
    yield from ((f"documents[{i}]", found) for i, found in enumerate(request.documents))


def texts_of(request: RerankRequest, provider: str) -> list[str]:
    """All documents, as `as_text`."""
    return [
        as_text(document, f"documents[{i}]", provider)
        for i, document in enumerate(request.documents)
    ]


def tokens_of(rankings: Iterable[Ranking]) -> int | None:
    """All input tokens; None when they are not known of one."""
    return functools.reduce(known_sum, (ranking.input_tokens for ranking in rankings), 0)


def ranking_of(
    request: RerankRequest,
    scores: Iterable[tuple[int, float]],
    *,
    model: str | None = None,
    truncated: frozenset[int] = frozenset(),
    **counts: Any,
) -> Ranking:
    """(index, score) pairs in any order as a ranking: best first, at most top_n.

    A provider tells no logit: its score stands for it. `counts` are Ranking's own fields.

    Raises:
        EngineFailed: an index that was not asked for, or one twice; a score that is no number.
    """
    found = dict[int, float]()
    for index, score in scores:
        if index in found or not 0 <= index < len(request.documents):
            raise EngineFailed(f"The answer ranks document {index}, which is unknown or double.")
        if not math.isfinite(score):
            raise EngineFailed(f"The score of document {index} is not a number.")
        found[index] = score
    order = sorted(found, key=lambda index: (-found[index], index))
    return Ranking(
        model=model or request.model or "",
        hits=tuple(Hit(i, found[i], found[i], i in truncated) for i in order[: request.top_n]),
        documents=len(request.documents),
        **counts,
    )
