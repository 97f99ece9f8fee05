"""A window's rows as requests to score, and what came of them as one answer for each row. Pure.

Pairs of one query are one request: its query is read once, and a server is asked once for many.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from rerankd.bulk.rows import InputRow, Kind
from rerankd.core.answer import Hit, Ranking
from rerankd.core.errors import RerankError
from rerankd.core.request import RerankRequest

Answer = Ranking | RerankError


@dataclass(frozen=True, slots=True)
class RowGroup:
    """A request, and the rows of the window that it is made of: one, or a pair each."""

    request: RerankRequest
    members: tuple[int, ...]


def groups_of(window: Sequence[InputRow], kind: Kind, most_pairs: int) -> list[RowGroup]:
    """What is asked for a window; rows that cannot be used are left out.

    Args:
        window: in order.
        kind: what its rows are.
        most_pairs: of a request that is made of pairs.
    """
    if kind != "pairs":
        return [
            RowGroup(row.request, (i,)) for i, row in enumerate(window) if row.request is not None
        ]
    open_groups: dict[tuple[str, str | None], list[int]] = {}
    members: list[list[int]] = []
    for i, row in enumerate(window):
        if row.request is None:
            continue
        key = row.request.query.value, row.request.instruction
        own = open_groups.get(key)
        if own is None or len(own) >= most_pairs:
            own = open_groups[key] = []
            members.append(own)
        own.append(i)
    return [_of_pairs([window[i] for i in own], own) for own in members]


def _of_pairs(rows: Sequence[InputRow], members: Sequence[int]) -> RowGroup:
    requests = [row.request for row in rows if row.request is not None]
    documents = tuple(request.documents[0] for request in requests)
    return RowGroup(replace(requests[0], documents=documents), tuple(members))


def alone(group: RowGroup) -> list[RowGroup]:
    """The pairs of a group, each by itself: one that is refused must not take the others along."""
    documents = group.request.documents
    return [
        RowGroup(replace(group.request, documents=(document,)), (member,))
        for document, member in zip(documents, group.members, strict=True)
    ]


@dataclass(frozen=True, slots=True)
class RowAnswer:
    """What came of one row: a ranking of its own, or a hit of one, or an error."""

    hits: tuple[Hit, ...] = ()
    tokens: int | None = 0  # of a ranking; of pairs, the first of a group has those of all
    warnings: tuple[str, ...] = ()
    ranking: Ranking | None = None  # where the row is a whole request
    error: RerankError | None = None


def apart(group: RowGroup, answer: Answer, kind: Kind) -> list[tuple[int, RowAnswer]]:
    """An answer by row: (place in the window, what came of it)."""
    if isinstance(answer, RerankError):
        return [(member, RowAnswer(error=answer)) for member in group.members]
    if kind != "pairs":
        told = RowAnswer(answer.hits, answer.input_tokens, answer.warnings, answer)
        return [(group.members[0], told)]
    found: list[tuple[int, RowAnswer]] = []
    tokens: int | None = answer.input_tokens
    for hit in sorted(answer.hits, key=lambda hit: hit.index):
        found.append((group.members[hit.index], RowAnswer((hit,), tokens)))
        tokens = 0
    return found
