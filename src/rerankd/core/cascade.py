"""A cheap model ranks all, a costly one scores the best: which documents go on, how the parts join.

Pure: settings text in, indexes and hits out. Who runs the stages: service.pipeline.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from rerankd.core.answer import Hit
from rerankd.core.errors import InvalidRequest, StartError
from rerankd.core.request import RerankRequest

FIRST_STAGE: Final = "rerankd-lexical"  # its cost is small beside any other model's


@dataclass(frozen=True, slots=True, kw_only=True)
class Cascade:
    """The stages in front of a model."""

    first: str  # the model that ranks all documents
    keep: int  # >= 1: how many of its best the model behind it scores


def parse_stages(name: str, stages: Sequence[str]) -> tuple[Cascade | None, str]:
    """What `stages` of a served name says: the cascade, None for a single stage; the last stage.

    Args:
        name: the served name, for the error.
        stages: ["rerankd-lexical:KEEP", "MODEL"], or ["MODEL"]; never empty.

    Raises:
        StartError: anything else.
    """
    *before, last = stages
    if not before:
        return None, last
    first, _, keep = before[0].rpartition(":")
    if len(before) > 1 or first != FIRST_STAGE or re.fullmatch("[1-9][0-9]{0,8}", keep) is None:
        raise StartError(
            f'model."{name}".stages: {list(stages)} cannot be served. Write ["{FIRST_STAGE}:200", '
            f'"{last}"]: {FIRST_STAGE} ranks all documents, {last} scores the best 200. Or '
            f'["{last}"]: no first stage.'
        )
    if last == FIRST_STAGE:
        raise StartError(f'model."{name}".stages: {FIRST_STAGE} cannot stand behind itself.')
    return Cascade(first=first, keep=int(keep)), last


def passed_on(request: RerankRequest, first: Sequence[Hit], keep: int) -> tuple[int, ...]:
    """Indexes of the documents that go on to the second stage, ascending.

    The first `keep` of `first`, and whatever equals one of them: equal documents score equal, and
    cost one row.

    Args:
        request: the whole request.
        first: all of its documents, best first.
        keep: at least 1.
    """
    best = {hit.index for hit in first[:keep]}
    contents = {(request.documents[i].modality, request.documents[i].value) for i in best}
    return tuple(
        i
        for i, document in enumerate(request.documents)
        if i in best or (document.modality, document.value) in contents
    )


def merged(reranked: Sequence[Hit], first: Sequence[Hit], *, stage: str) -> tuple[Hit, ...]:
    """All documents, best first: the reranked ones, then the others in the first stage's order.

    A document that was not reranked has the first stage's own score, but never one above the
    lowest reranked: min(its score, lowest score), so scores fall or stay along the answer. It is
    marked with `stage`. The logit follows the same rule.

    Args:
        reranked: the second stage's hits, best first, at least one; `index` as in `first`.
        first: the first stage's hits of all documents, best first.
        stage: who made `first`.
    """
    lowest = reranked[-1]
    seen = {hit.index for hit in reranked}
    others = [
        replace(
            hit,
            score=min(hit.score, lowest.score),
            logit=min(hit.logit, lowest.logit),
            stage=stage,
        )
        for hit in first
        if hit.index not in seen
    ]
    return (*reranked, *others)


def in_whole_request(
    error: InvalidRequest, places: Sequence[int] | Mapping[int, int]
) -> InvalidRequest:
    """An error about some of the documents, its documents[i] counted as the caller counts.

    Args:
        error: about a request of some of the caller's documents.
        places: places[i] = the caller's index of document i.
    """
    found = re.match(r"documents\[([0-9]+)\]", error.message)
    if found is None:
        return error
    shown = f"documents[{places[int(found[1])]}]"
    param = shown if error.param == found[0] else error.param
    return InvalidRequest(shown + error.message[found.end() :], param=param)
