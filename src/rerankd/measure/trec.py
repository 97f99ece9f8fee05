"""TREC's files: judgements, rankings, values of each query."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from rerankd.core.errors import StartError
from rerankd.measure.lines import fields, grade_of, read_lines, text_of
from rerankd.measure.metrics import Vector


def read_trec_qrels(path: Path) -> dict[str, dict[str, int]]:
    """Judgements in TREC's form: `query iteration document grade` per line, or gzipped.

    Source of the form: trec_eval's README, github.com/usnistgov/trec_eval.

    Raises:
        StartError: the file cannot be read or is empty, or a line is not what it should be, or
            judges a pair again; the file and the line are named.
    """
    qrels: dict[str, dict[str, int]] = {}
    for number, line in read_lines(path):
        parts = text_of(path, number, line).split()
        query, _, document, grade = fields(path, number, parts, "query, 0, document, grade")
        grades = qrels.setdefault(query, {})
        if document in grades:
            raise StartError(f"{path} line {number}: {query} {document} is judged twice.")
        grades[document] = grade_of(path, number, grade)
    if not qrels:
        raise StartError(f"{path} is empty: a line is `query 0 document grade`.")
    return qrels


def read_trec_run(path: Path) -> dict[str, list[str]]:
    """A ranking in TREC's form: `query Q0 document rank score tag` per line, or gzipped.

    As trec_eval: by falling score, kept in 32 bits, ties by falling document id; the rank is not
    read. So scores that differ beyond 32 bits are a tie.

    Raises:
        StartError: as read_trec_qrels; also a score that is no number.
    """
    run: dict[str, dict[str, np.float32]] = {}
    for number, line in read_lines(path):
        parts = text_of(path, number, line).split()
        form = "query, Q0, document, rank, score, tag"
        query, _, document, _, score, _ = fields(path, number, parts, form)
        scores = run.setdefault(query, {})
        if document in scores:
            raise StartError(f"{path} line {number}: {query} {document} is ranked twice.")
        try:
            scores[document] = _in_32_bits(float(score))
        except ValueError:
            scores[document] = np.float32(math.nan)
        if np.isnan(scores[document]):
            raise StartError(f"{path} line {number}: the score {score!r} is not a number.")
    if not run:
        raise StartError(f"{path} is empty: a line is `query Q0 document rank score tag`.")
    return {
        query: sorted(scores, key=lambda document: (scores[document], document), reverse=True)
        for query, scores in run.items()
    }


def trec_run(query: str, ranked: Sequence[tuple[str, float]], tag: str) -> str:
    """The lines of one query in TREC's form, which every tool reads in the same order.

    Tools break ties each in a way of its own, and keep scores in 32 bits; so a score that is not
    below the one before it in 32 bits is written one 32-bit step below that one.

    Args:
        query: its id.
        ranked: document ids and scores, best first.
        tag: who ranked; blanks in it become "_".

    Raises:
        StartError: an id is empty or has a blank, which TREC's form cannot hold, or is there twice.
    """
    lines: list[str] = []
    last = np.float32(np.inf)
    seen: set[str] = set()
    by = "_".join(tag.split()) or "rerankd"
    for rank, (document, score) in enumerate(ranked, 1):
        bad = next((found for found in (query, document) if found.split() != [found]), None)
        if bad is not None:
            raise StartError(f"{bad!r} cannot stand in a TREC run: an id has no blanks.")
        if document in seen:
            raise StartError(f"{document!r} is the id of two documents; a TREC run needs others.")
        seen.add(document)
        last = min(_in_32_bits(score), np.nextafter(last, np.float32(-np.inf)))
        lines.append(f"{query} Q0 {document} {rank} {last!s} {by}\n")
    return "".join(lines)


def trec_values(values: Mapping[str, Vector], queries: Sequence[str]) -> str:
    """Every query's values as `trec_eval -q` prints them: measure, query, value; `all` at last.

    Args:
        values: measure -> (Q,), in [0, 1].
        queries: the ids, (Q,).
    """
    lines = [
        f"{name:<22}\t{query}\t{value:.6f}\n"
        for query, *row in zip(queries, *values.values(), strict=True)
        for name, value in zip(values, row, strict=True)
    ]
    lines += [f"{name:<22}\tall\t{found.mean():.6f}\n" for name, found in values.items()]
    return "".join(lines)


def _in_32_bits(score: float) -> np.float32:
    with np.errstate(over="ignore"):  # as in C: too large is infinite
        return np.float32(score)
