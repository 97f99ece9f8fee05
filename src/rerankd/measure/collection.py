"""Test collections: queries, documents, judgements and what a first stage found.

A collection is a folder of `queries.jsonl` {id, text}, `docs.jsonl` or `docs.jsonl.gz` {id, text},
`qrels.tsv` (query, document, grade; tab-separated, no header) and `candidates.jsonl` {qid, docs}.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from rerankd.core.errors import StartError
from rerankd.measure.lines import fields, grade_of, read_jsonl, read_lines, text_of

_QUERIES: Final = "queries.jsonl"  # a folder with it is a collection

Grades = Mapping[str, int]  # document id -> relevance grade; absent or <= 0 = not relevant
Qrels = Mapping[str, Grades]  # by query id
Run = Mapping[str, Sequence[str]]  # query id -> document ids, best first


class CollectionText(msgspec.Struct):
    """A line of queries.jsonl or docs.jsonl."""

    id: str
    text: str


class Candidates(msgspec.Struct):
    """A line of candidates.jsonl: what the first stage found, best first."""

    qid: str
    docs: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """A test collection. `candidates` holds only queries with at least one relevant document.

    `unanswered` holds those of queries that are judged and have none.
    """

    name: str
    queries: Mapping[str, str]
    documents: Mapping[str, str]
    qrels: Mapping[str, Grades]
    candidates: Mapping[str, Sequence[str]]
    unanswered: Mapping[str, Sequence[str]]


def collections_in(folders: Sequence[Path]) -> list[Collection]:
    """Each folder that is a collection, or the collections in it. Raises StartError."""
    found: list[Path] = []
    for folder in folders:
        if not folder.is_dir():
            raise StartError(f"{folder}: no such folder.")
        inside = sorted(path.parent for path in folder.glob(f"*/{_QUERIES}"))
        found += [folder] if (folder / _QUERIES).exists() or not inside else inside
    collections = [read_collection(folder) for folder in found]
    no_twins([collection.name for collection in collections], "collection")
    return collections


def no_twins(names: Sequence[str], what: str) -> None:
    """Refuse two of one name. Raises StartError."""
    twin = next((name for i, name in enumerate(names) if name in names[:i]), None)
    if twin is not None:
        raise StartError(f"{what} {twin}: given twice; results are told apart by name.")


def read_collection(folder: Path) -> Collection:
    """Read a collection.

    Raises:
        StartError: a file is missing, or a line of it is not what it should be: the file and the
            line are named. Also a candidate that is no document of the collection.
    """
    queries = {line.id: line.text for _, line in read_jsonl(folder / _QUERIES, CollectionText)}
    documents = read_documents(folder)
    qrels: dict[str, dict[str, int]] = {}
    path = folder / "qrels.tsv"
    for number, line in read_lines(path):
        parts = text_of(path, number, line).rstrip("\r").split("\t")
        query, document, grade = fields(path, number, parts, "query, document, grade (tabs)")
        qrels.setdefault(query, {})[document] = grade_of(path, number, grade)
    found: dict[str, list[str]] = {}
    path = folder / "candidates.jsonl"
    for number, line in read_jsonl(path, Candidates):
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
        unanswered={
            q: docs for q, docs in found.items() if q in qrels and not answerable(qrels[q])
        },
    )


def read_documents(folder: Path) -> dict[str, str]:
    """The documents of a collection by id. Raises StartError as read_collection."""
    return {line.id: line.text for _, line in read_jsonl(folder / "docs.jsonl", CollectionText)}


def answerable(grades: Grades) -> bool:
    """Whether anything is relevant: other queries measure nothing and are left out."""
    return any(grade > 0 for grade in grades.values())
