"""What is written for a row: a line of a part, or one of errors.jsonl. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from rerankd.bulk.groups import RowAnswer
from rerankd.bulk.rows import InputRow, Kind, Name


class ResultLine(msgspec.Struct, omit_defaults=True):
    """One document of a ranking."""

    index: int  # among the row's documents, from 0
    relevance_score: float
    id: Name | None = None  # the document's own
    truncated: bool = False  # something of it was cut


class RankingLine(msgspec.Struct, omit_defaults=True):
    """A row of requests: its documents, best first."""

    id: Name
    results: list[ResultLine]
    tokens: int | None
    warnings: tuple[str, ...] = ()
    route: str = ""  # who answered, for a routed name


class PairLine(msgspec.Struct, omit_defaults=True):
    """A pair."""

    id: Name
    relevance_score: float
    truncated: bool = False


class ErrorLine(msgspec.Struct):
    """A row that has no line among the parts."""

    line: int  # of the input, from 1
    id: Name
    error: str  # one word for programs
    message: str


encode = msgspec.json.Encoder().encode


def line_of(row: InputRow, answer: RowAnswer, kind: Kind) -> bytes:
    """The line of a row that was answered."""
    if kind == "pairs":
        [hit] = answer.hits
        return encode(PairLine(row.id, hit.score, hit.truncated)) + b"\n"
    results = [
        ResultLine(hit.index, hit.score, row.names[hit.index] if row.names else None, hit.truncated)
        for hit in answer.hits
    ]
    facts = None if answer.ranking is None else answer.ranking.route
    label = "" if facts is None else facts.label
    return encode(RankingLine(row.id, results, answer.tokens, answer.warnings, label)) + b"\n"


def error_of(row: InputRow, answer: RowAnswer | None) -> bytes:
    """The line of a row that was not."""
    if answer is None or answer.error is None:
        found = ErrorLine(row.line, row.id, "invalid_request", row.error)
    else:
        found = ErrorLine(row.line, row.id, answer.error.kind, answer.error.message)
    return encode(found) + b"\n"


def lines_of(
    window: Sequence[InputRow], answers: Sequence[RowAnswer | None], kind: Kind
) -> tuple[list[bytes], list[bytes]]:
    """Lines of the rows that were answered and of those that were not, each in input order.

    Args:
        window: the rows.
        answers: of each; None = it could not be asked.
        kind: what the rows are.
    """
    good: list[bytes] = []
    bad: list[bytes] = []
    for row, answer in zip(window, answers, strict=True):
        if answer is None or answer.error is not None:
            bad.append(error_of(row, answer))
        else:
            good.append(line_of(row, answer, kind))
    return good, bad
