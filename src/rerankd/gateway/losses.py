"""What a target cannot be told of a request, and whether that changes its scores. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Final

from rerankd.core.request import RerankRequest

# A score depends on these; the others are done here, whoever answers. So are rank_fields: the text
# that they choose is what is sent wherever the names themselves have no place.
CHANGES_SCORES: Final = frozenset(
    {
        *("instruction", "max_chunks_per_doc", "overlap_tokens", "max_tokens_per_doc"),
        *("max_tokens_per_query", "truncation", "truncate_query", "raw_scores"),
    }
)
_DEFAULTS: Final = {field.name: field.default for field in dataclasses.fields(RerankRequest)}
_ONE_WINDOW_BYTES: Final = 256  # a pair of so few bytes, hence tokens, is in one chunk of any model


def outgoing(request: RerankRequest, name: str, *, says_top: bool = True) -> RerankRequest:
    """What an upstream is asked: for all scores and no documents, by its own name of the model.

    Some give fewer results unless they are asked for all: `says_top`.
    """
    return RerankRequest(
        query=request.query,
        documents=request.documents,
        model=name,
        top_n=len(request.documents) if says_top else None,
        instruction=request.instruction,
        return_documents=False,
        max_chunks_per_doc=request.max_chunks_per_doc,
        overlap_tokens=request.overlap_tokens,
        max_tokens_per_doc=request.max_tokens_per_doc,
        truncation=request.truncation,
        truncate_query=request.truncate_query,
        max_tokens_per_query=request.max_tokens_per_query,
        raw_scores=request.raw_scores,
        rank_fields=request.rank_fields,
    )


def changing(
    request: RerankRequest, lost: Iterable[str], implies: Mapping[str, object]
) -> frozenset[str]:
    """Of the fields that a target cannot be told, those that would change a score of this request.

    A text has no more tokens than bytes: what bounds more tokens than that bounds nothing.

    Args:
        request: the caller's.
        lost: the fields.
        implies: what a field means to the target when it is left out, where that is not a
            RerankRequest's own.
    """
    found = CHANGES_SCORES.intersection(lost)
    if not found:
        return found
    if any(content.modality != "text" for _, content in request.contents()):
        return found
    query = len(request.query.value.encode())
    document = max(len(content.value.encode()) for content in request.documents)
    idle: set[str] = set()
    for name, size in (("max_tokens_per_doc", document), ("max_tokens_per_query", query)):
        bounds = (getattr(request, name), implies.get(name))
        if all(not isinstance(bound, int) or size <= bound for bound in bounds):
            idle.add(name)
    if query <= _ONE_WINDOW_BYTES:
        idle.add("truncate_query")
    if query + document <= _ONE_WINDOW_BYTES:
        idle |= {"max_chunks_per_doc", "overlap_tokens", "truncation"}
    return found - idle


def said(
    request: RerankRequest, fields: Iterable[str], assumed: Mapping[str, object]
) -> frozenset[str]:
    """Of these fields, those that the caller asked for himself.

    The others have the value that they have when he says nothing: `assumed`, by his dialect, where
    that is not a RerankRequest's own.
    """
    return frozenset(
        name for name in fields if getattr(request, name) != assumed.get(name, _DEFAULTS[name])
    )
