"""Test collections and TREC files: read them, measure an order of documents.

A collection is a folder of `queries.jsonl` {id, text}, `docs.jsonl` or `docs.jsonl.gz` {id, text},
`qrels.tsv` (query, document, grade; tab-separated, no header) and `candidates.jsonl` {qid, docs}.
Imports core only, so that every model can be measured by it. `measure` needs the extra
`rerankd[eval]`; `ndcg` does not, and a test holds that both say the same.
"""

from __future__ import annotations

import gzip
import math
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt

from rerankd.core.errors import StartError
from rerankd.extras import library

T = TypeVar("T")
Vector = npt.NDArray[np.float64]  # (Q,), one value per query
Grades = Mapping[str, int]  # document id -> relevance grade; absent or <= 0 = not relevant
Qrels = Mapping[str, Grades]  # by query id
Run = Mapping[str, Sequence[str]]  # query id -> document ids, best first
Ranker = Callable[[str, Sequence[str]], Sequence[float]]  # query, documents (B,) -> scores (B,)


class Text(msgspec.Struct):
    """A line of queries.jsonl or docs.jsonl."""

    id: str
    text: str


class Candidates(msgspec.Struct):
    """A line of candidates.jsonl: what the first stage found, best first."""

    qid: str
    docs: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """A test collection. `candidates` holds only queries with at least one relevant document."""

    name: str
    queries: Mapping[str, str]
    documents: Mapping[str, str]
    qrels: Mapping[str, Grades]
    candidates: Mapping[str, Sequence[str]]


def read_collection(folder: Path) -> Collection:
    """Read a collection.

    Raises:
        StartError: a file is missing, or a line of it is not what it should be: the file and the
            line are named. Also a candidate that is no document of the collection.
    """
    queries = {line.id: line.text for _, line in _read(folder / "queries.jsonl", Text)}
    documents = read_documents(folder)
    qrels: dict[str, dict[str, int]] = {}
    path = folder / "qrels.tsv"
    for number, line in _lines(path):
        fields = _text(path, number, line).rstrip("\r").split("\t")
        query, document, grade = _fields(path, number, fields, "query, document, grade (tabs)")
        qrels.setdefault(query, {})[document] = _grade(path, number, grade)
    found: dict[str, list[str]] = {}
    path = folder / "candidates.jsonl"
    for number, line in _read(path, Candidates):
        if line.qid not in queries:
            raise StartError(f"{path} line {number}: query {line.qid} is not in queries.jsonl.")
        unknown = next((document for document in line.docs if document not in documents), None)
        if unknown is not None:
            raise StartError(f"{path} line {number}: document {unknown} is not in docs.jsonl.")
        if line.qid in found or len(set(line.docs)) < len(line.docs):
            raise StartError(f"{path} line {number}: a query or a document is there twice.")
        found[line.qid] = line.docs
    return Collection(
        name=folder.resolve().name,
        queries=queries,
        documents=documents,
        qrels=qrels,
        candidates={qid: docs for qid, docs in found.items() if answerable(qrels.get(qid, {}))},
    )


def read_documents(folder: Path) -> dict[str, str]:
    """The documents of a collection by id. Raises StartError as read_collection."""
    return {line.id: line.text for _, line in _read(folder / "docs.jsonl", Text)}


def read_trec_qrels(path: Path) -> dict[str, dict[str, int]]:
    """Judgements in TREC's form: `query iteration document grade` per line, or gzipped.

    Source of the form: trec_eval's README, github.com/usnistgov/trec_eval.

    Raises:
        StartError: the file cannot be read or is empty, or a line is not what it should be, or
            judges a pair again; the file and the line are named.
    """
    qrels: dict[str, dict[str, int]] = {}
    for number, line in _lines(path):
        fields = _text(path, number, line).split()
        query, _, document, grade = _fields(path, number, fields, "query, 0, document, grade")
        grades = qrels.setdefault(query, {})
        if document in grades:
            raise StartError(f"{path} line {number}: {query} {document} is judged twice.")
        grades[document] = _grade(path, number, grade)
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
    for number, line in _lines(path):
        fields = _text(path, number, line).split()
        form = "query, Q0, document, rank, score, tag"
        query, _, document, _, score, _ = _fields(path, number, fields, form)
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


def answerable(grades: Grades) -> bool:
    """Whether anything is relevant: other queries measure nothing and are left out."""
    return any(grade > 0 for grade in grades.values())


def measure(qrels: Qrels, run: Run, k: int = 10) -> dict[str, Vector]:
    """nDCG@k, MRR@k, MAP and recall@k of each query, in [0, 1], by ir_measures.

    Queries are the qrels' that have a relevant document, in their order; one that the run does not
    have counts 0, and what the run has besides is not looked at. Grades above 0 are relevant; only
    nDCG looks at how large they are (linear gain). Documents that nobody judged are not relevant.

    Source: MacAvaney, Macdonald & Ounis, Streamlining Evaluation with ir-measures, ECIR 2022
    (trec_eval for nDCG, AP and R; the official MS MARCO script for RR).

    Raises:
        StartError: ir_measures is not installed.
    """
    ir: Any = library("ir_measures")
    named = {
        f"nDCG@{k}": ir.nDCG @ k,
        f"MRR@{k}": ir.RR @ k,
        "MAP": ir.AP,
        f"recall@{k}": ir.R @ k,
    }
    judged = {
        query: {document: max(grade, 0) for document, grade in grades.items()}
        for query, grades in qrels.items()
        if answerable(grades)
    }
    # Falling whole numbers, so that no scorer's own rule for ties can change the order.
    ranked = {
        query: {document: float(-rank) for rank, document in enumerate(documents)}
        for query, documents in run.items()
        if query in judged and documents
    }
    place = {query: i for i, query in enumerate(judged)}
    values = {name: np.zeros(len(judged)) for name in named}
    names = {wanted: name for name, wanted in named.items()}
    if ranked:
        for metric in ir.iter_calc(list(named.values()), judged, ranked):
            values[names[metric.measure]][place[metric.query_id]] = metric.value
    return values


def rerank_scored(
    collection: Collection, rank: Ranker
) -> Iterator[tuple[str, list[tuple[str, float]]]]:
    """Every query and its candidates with scores, best first; ties keep the candidates' order."""
    for qid, candidates in collection.candidates.items():
        texts = [collection.documents[document] for document in candidates]
        scores = rank(collection.queries[qid], texts)
        yield qid, [(candidates[i], scores[i]) for i in order(scores)]


def rerank(collection: Collection, rank: Ranker) -> dict[str, list[str]]:
    """The candidates of every query, as `rank` orders them; ties keep the candidates' order."""
    return {
        qid: [document for document, _ in ranked] for qid, ranked in rerank_scored(collection, rank)
    }


def ndcg(ranked: Sequence[str], grades: Grades, k: int = 10) -> float:
    """nDCG@k of one query, in [0, 1].

    As trec_eval's ndcg_cut and ir_measures' nDCG: linear gain (the grade itself, not 2^g - 1),
    discount 1 / log2(rank + 1), and the ideal taken over all judged documents, so a relevant
    document that the first stage missed costs too. 0 when nothing is relevant.

    Source: Järvelin & Kekäläinen, ACM TOIS 20(4), 2002, doi:10.1145/582415.582418.
    """
    ideal = _dcg(sorted(grades.values(), reverse=True)[:k])
    return _dcg([grades.get(document, 0) for document in ranked[:k]]) / ideal if ideal else 0.0


def order(scores: Sequence[float]) -> list[int]:
    """Indexes by falling score, ties by lower index, as the server ranks."""
    return sorted(range(len(scores)), key=lambda i: (-scores[i], i))


def mean_ndcg(collection: Collection, rank: Ranker, k: int = 10) -> float:
    """Mean nDCG@k, in [0, 1], over all queries with a relevant document and candidates."""
    values = [ndcg(ids, collection.qrels[qid], k) for qid, ids in rerank(collection, rank).items()]
    return float(np.mean(values)) if values else 0.0


def _dcg(gains: Sequence[int]) -> float:
    gain = np.maximum(np.asarray(gains, dtype=np.float64), 0.0)
    return float(np.sum(gain / np.log2(np.arange(2, gain.size + 2))))


def _in_32_bits(score: float) -> np.float32:
    with np.errstate(over="ignore"):  # as in C: too large is infinite
        return np.float32(score)


def _lines(path: Path) -> list[tuple[int, bytes]]:
    """Lines that are not blank, with their numbers from 1."""
    packed = path if path.suffix == ".gz" else path.with_name(path.name + ".gz")
    try:
        raw = gzip.decompress(packed.read_bytes()) if packed.exists() else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise StartError(f"{path} cannot be read: {reason}.") from error
    return [(number, line) for number, line in enumerate(raw.split(b"\n"), 1) if line.strip()]


def _read(path: Path, kind: type[T]) -> list[tuple[int, T]]:
    decode = msgspec.json.Decoder(kind).decode
    lines: list[tuple[int, T]] = []
    for number, line in _lines(path):
        try:
            lines.append((number, decode(line)))
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise StartError(f"{path} line {number}: {error}") from error
    return lines


def _text(path: Path, number: int, line: bytes) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        raise StartError(f"{path} line {number} is not UTF-8 (byte {error.start}).") from error


def _fields(path: Path, number: int, fields: list[str], form: str) -> list[str]:
    """The fields, as many as the form has. Raises StartError."""
    wanted = form.count(",") + 1
    if len(fields) != wanted:
        raise StartError(
            f"{path} line {number}: {len(fields)} fields; {wanted} are expected: {form}."
        )
    return fields


def _grade(path: Path, number: int, written: str) -> int:
    try:
        return int(written)
    except ValueError:
        raise StartError(
            f"{path} line {number}: the grade {written!r} is not a whole number."
        ) from None
