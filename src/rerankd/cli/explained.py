"""How a score came about, for the terminal and for JSON lines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec
from rich.text import Text

from rerankd.cli.terminal import one_line
from rerankd.core.answer import Hit
from rerankd.core.explanation import Explanation, Match, Span

_CHUNKS: Final = 8  # of a document, the best: what a screen has room for
_MATCHES: Final = 8  # of each kind
_IN_LINE: Final = 4  # named scores


class ToldChunk(msgspec.Struct):
    """As a chunk of POST /v1/rerank/explain."""

    start: int | None
    end: int | None
    tokens: int | None
    logit: float
    won: bool


class Told(msgspec.Struct):
    """What --explain adds to a line; the fields of POST /v1/rerank/explain."""

    logit: float
    chunks: list[ToldChunk]
    cut_at: int | None
    parts: dict[str, float]
    matches: list[Match]


def told_of(hit: Hit) -> Told | None:
    """Of a hit that was explained."""
    if hit.explained is None:
        return None
    told = hit.explained
    chunks = [
        ToldChunk(*(chunk.span or (None, None)), chunk.tokens, chunk.logit, chunk.won)
        for chunk in told.chunks
    ]
    return Told(hit.logit, chunks, told.cut_at, dict(told.parts), list(told.matches))


def explained_lines(
    head: str, hit: Hit, query: str, document: str, *, columns: int
) -> Iterator[Text]:
    """Lines of one document; none for a hit that was not explained.

    Args:
        head: what it is called.
        hit: of it.
        query: as it was asked.
        document: as it was ranked.
        columns: of the screen.
    """
    told = hit.explained
    if told is None:
        return
    yield Text()
    yield Text(f"{head}: logit {hit.logit:.3f}", style="bold")
    for some in _in_lines(told):
        yield Text(f"  {some}")
    yield from _chunk_lines(told, document, columns)
    if told.cut_at is not None:
        yield Text(f"  nothing was read behind character {told.cut_at}", style="dim")
    for kind, name in (("word", "words"), ("meaning", "alike")):
        own = [match for match in told.matches if match.kind == kind]
        if own:
            yield Text(f"  {name}: {', '.join(_pairs(own, query, document))}")


def _in_lines(told: Explanation) -> Iterator[str]:
    """The named scores, some in a line."""
    shown = [f"{name} {value:.3f}" for name, value in told.parts.items()]
    yield from (", ".join(shown[at : at + _IN_LINE]) for at in range(0, len(shown), _IN_LINE))


def _chunk_lines(told: Explanation, document: str, columns: int) -> Iterator[Text]:
    best = sorted(told.chunks, key=lambda chunk: (not chunk.won, -chunk.logit))[:_CHUNKS]
    for chunk in told.chunks:
        if chunk not in best:
            continue
        tokens = "" if chunk.tokens is None else f"  {chunk.tokens} tokens"
        figures = f"{_place(chunk.span)}{tokens}  {chunk.logit:.3f}"
        shown = "" if chunk.span is None else one_line(document[slice(*chunk.span)], columns)
        mark, style = ("*", "green") if chunk.won else (" ", "dim")
        yield Text(f"  {mark} {figures}  {shown}", style=style)
    if len(told.chunks) > _CHUNKS:
        yield Text(f"    and {len(told.chunks) - _CHUNKS} lower chunks", style="dim")


def _place(span: Span | None) -> str:
    return "all" if span is None else f"{span[0]}-{span[1]}"


def _pairs(matches: Sequence[Match], query: str, document: str) -> Iterator[str]:
    """Each pair of words once, in the order of their scores."""
    seen: dict[tuple[str, str], float] = {}
    for match in matches:
        pair = query[slice(*match.query)], document[slice(*match.document)]
        seen.setdefault(pair, match.score)
    for (asked, found), score in list(seen.items())[:_MATCHES]:
        pair = asked if asked == found else f"{asked} = {found}"
        yield f"{one_line(pair, 40)} {score:.2f}"
