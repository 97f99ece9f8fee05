"""Tries an upstream with pairs that ship with rerankd: what it answers, how fast, at what count."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from importlib.resources import files
from typing import Any, Final

import msgspec

from rerankd.core.agreement import spearman
from rerankd.core.answer import Ranking
from rerankd.core.request import Content, RerankRequest
from rerankd.gateway.failover import AttemptFailed
from rerankd.gateway.losses import CHANGES_SCORES, outgoing
from rerankd.gateway.upstream import Upstream

# A value that is not the default, for every field that changes scores.
_EVERY_FIELD: Final[dict[str, Any]] = {
    "instruction": "Find the passage that answers the question.",
    "max_chunks_per_doc": 2,
    "overlap_tokens": 7,
    "max_tokens_per_doc": 64,
    "max_tokens_per_query": 16,
    "truncation": False,
    "truncate_query": True,
    "raw_scores": True,
}


class Golden(msgspec.Struct, frozen=True):
    """One query and its documents."""

    query: str
    documents: tuple[str, ...]

    def request(self) -> RerankRequest:
        """The same as a request."""
        return RerankRequest(
            query=Content(value=self.query),
            documents=tuple(Content(value=document) for document in self.documents),
        )


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """What came of trying one model of one upstream; plain, so that it can be kept."""

    upstream: str
    model: str
    at: float  # unix time, seconds
    outcomes: tuple[str, ...]  # "ok", or how it failed, by query
    scores: tuple[tuple[float, ...] | None, ...]  # by query, in the order of its documents
    tokens: tuple[int | None, ...]  # that it counted, by query
    seconds: tuple[float, ...]  # by query
    dropped: tuple[str, ...]  # fields that change scores and that its dialect has no place for

    @property
    def is_ok(self) -> bool:
        """Whether every query was answered, and well."""
        return all(outcome == "ok" for outcome in self.outcomes)


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """Scores of one trial beside others of the same pairs."""

    largest: float  # of two scores of one pair
    mean: float
    order: float  # mean Spearman; 1 = the same order


def golden() -> tuple[Golden, ...]:
    """The pairs: several languages, numbers, a long document."""
    raw = files("rerankd.builtin").joinpath("golden/pairs.json").read_bytes()
    return msgspec.json.decode(raw, type=tuple[Golden, ...])


def dropped(upstream: Upstream, model: str) -> tuple[str, ...]:
    """Fields that change scores and that an upstream cannot be told."""
    every = dataclasses.replace(golden()[0].request(), **_EVERY_FIELD)
    lost = upstream.plan.dialect.lost(outgoing(every, model))
    return tuple(sorted(CHANGES_SCORES.intersection(lost)))


async def try_out(upstream: Upstream, model: str) -> Trial:
    """Ask for all golden pairs, one query after the other."""
    outcomes: list[str] = []
    scores: list[tuple[float, ...] | None] = []
    tokens: list[int | None] = []
    seconds: list[float] = []
    for each in golden():
        started = time.perf_counter()
        try:
            ranking = await upstream.ask(each.request(), model, timeout_s=float("inf"))
        except AttemptFailed as failed:
            status = f" {failed.status}" if failed.status else ""
            outcomes.append(f"{failed.outcome}{status}")
            scores.append(None)
            tokens.append(None)
        else:
            outcomes.append("ok")
            scores.append(in_order(ranking))
            tokens.append(ranking.input_tokens)
        seconds.append(time.perf_counter() - started)
    return Trial(
        upstream=upstream.plan.name,
        model=model,
        at=time.time(),
        outcomes=tuple(outcomes),
        scores=tuple(scores),
        tokens=tuple(tokens),
        seconds=tuple(seconds),
        dropped=dropped(upstream, model),
    )


def in_order(ranking: Ranking) -> tuple[float, ...]:
    """A ranking's scores in the order of the documents."""
    return tuple(hit.score for hit in sorted(ranking.hits, key=lambda hit: hit.index))


def difference(
    first: Sequence[Sequence[float] | None], other: Sequence[Sequence[float] | None]
) -> Difference | None:
    """How far two sets of scores of the same pairs are apart; None: no query has both."""
    both = [(a, b) for a, b in zip(first, other, strict=False) if a and b and len(a) == len(b)]
    if not both:
        return None
    apart = [abs(x - y) for a, b in both for x, y in zip(a, b, strict=True)]
    return Difference(
        largest=max(apart),
        mean=sum(apart) / len(apart),
        order=sum(spearman(a, b) for a, b in both) / len(both),
    )
