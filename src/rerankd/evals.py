"""nDCG over a test collection in files: read it, measure an order of its candidates.

A collection is a folder of `queries.jsonl` {id, text}, `docs.jsonl` or `docs.jsonl.gz` {id, text},
`qrels.tsv` (query, document, grade; tab-separated, no header) and `candidates.jsonl` {qid, docs}.
Imports core only, so that every model can be measured by it.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import msgspec
import numpy as np

from rerankd.core.errors import StartError

T = TypeVar("T")
Grades = Mapping[str, int]  # document id -> relevance grade; absent or <= 0 = not relevant
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
        StartError: a file is missing, or a line of it is not what it should be; the file is named.
    """
    qrels: dict[str, dict[str, int]] = {}
    for number, line in enumerate(_lines(folder / "qrels.tsv"), 1):
        try:
            query, document, grade = line.decode().split("\t")
            qrels.setdefault(query, {})[document] = int(grade)
        except ValueError as error:
            raise StartError(f"{folder / 'qrels.tsv'} line {number}: {error}") from error
    found = _read(folder / "candidates.jsonl", Candidates)
    return Collection(
        name=folder.name,
        queries={line.id: line.text for line in _read(folder / "queries.jsonl", Text)},
        documents=read_documents(folder),
        qrels=qrels,
        candidates={
            line.qid: line.docs
            for line in found
            if any(grade > 0 for grade in qrels.get(line.qid, {}).values())
        },
    )


def read_documents(folder: Path) -> dict[str, str]:
    """The documents of a collection by id. Raises StartError as read_collection."""
    return {line.id: line.text for line in _read(folder / "docs.jsonl", Text)}


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
    values: list[float] = []
    for qid, candidates in collection.candidates.items():
        texts = [collection.documents[document] for document in candidates]
        scores = rank(collection.queries[qid], texts)
        ranked = [candidates[i] for i in order(scores)]
        values.append(ndcg(ranked, collection.qrels[qid], k))
    return float(np.mean(values)) if values else 0.0


def _dcg(gains: Sequence[int]) -> float:
    gain = np.maximum(np.asarray(gains, dtype=np.float64), 0.0)
    return float(np.sum(gain / np.log2(np.arange(2, gain.size + 2))))


def _lines(path: Path) -> Iterator[bytes]:
    packed = path.with_name(path.name + ".gz")
    try:
        raw = gzip.decompress(packed.read_bytes()) if packed.exists() else path.read_bytes()
    except (OSError, EOFError) as error:
        raise StartError(f"{path} cannot be read: {error}") from error
    return (line for line in raw.split(b"\n") if line.strip())


def _read(path: Path, kind: type[T]) -> list[T]:
    decode = msgspec.json.Decoder(kind).decode
    lines: list[T] = []
    for number, line in enumerate(_lines(path), 1):
        try:
            lines.append(decode(line))
        except msgspec.MsgspecError as error:
            raise StartError(f"{path} line {number}: {error}") from error
    return lines
