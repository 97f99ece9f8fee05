"""Rankings to be scored again: a TREC run with its topics and documents, or a test collection."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from rerankd.bulk.rows import InputPlace, InputRow, Kind
from rerankd.bulk.text_store import TextStore
from rerankd.bulk.wishes import Wishes
from rerankd.core.errors import StartError
from rerankd.core.request import Content, RerankRequest
from rerankd.measure.collection import Candidates
from rerankd.measure.lines import read_jsonl
from rerankd.measure.trec import read_trec_run

COLLECTION_FILES: Final = ("queries.jsonl", "docs.jsonl", "candidates.jsonl")


class ListSource:
    """A Source of queries, each with the documents that were found for it."""

    def __init__(
        self,
        kind: Kind,
        lists: Mapping[str, Sequence[str]],
        texts: tuple[Path, Path],
        wishes: Wishes,
    ) -> None:
        """Find where the texts are.

        Args:
            kind: "run" or "collection".
            lists: document ids by query id, in the order in which they are ranked.
            texts: files of the queries and of the documents.
            wishes: of the job.

        Raises:
            StartError: a text is not there.
        """
        self.kind: Kind = kind
        self._lists = list(lists.items())
        self._wishes = wishes
        self._files = texts
        self._queries = TextStore(texts[0], lists)
        try:
            self._documents = TextStore(texts[1], {one for own in lists.values() for one in own})
        except BaseException:
            self._queries.close()
            raise
        try:
            self._check()
        except BaseException:
            self.close()
            raise

    def _check(self) -> None:
        """Raises StartError: a text is not there, or an id cannot stand in a run."""
        queries, documents = self._files
        for query, own in self._lists:
            blank = next((one for one in (query, *own) if one.split() != [one]), None)
            if blank is not None:
                raise StartError(f"{blank!r} cannot stand in a TREC run: an id has no blanks.")
            if query not in self._queries:
                raise StartError(f"{queries} has no query {query}, which is in the run.")
            missing = next((one for one in own if one not in self._documents), None)
            if missing is not None:
                raise StartError(f"{documents} has no document {missing}, which is in the run.")

    def share(self, place: InputPlace) -> float | None:
        """See Source."""
        return place.line / max(1, len(self._lists))

    def rows(self, start: InputPlace) -> Iterator[InputRow]:
        """See Source."""
        for i in range(start.line, len(self._lists)):
            query, documents = self._lists[i]
            text = self._queries[query]
            after = InputPlace(i + 1)
            if not text:
                yield InputRow(line=i + 1, id=query, after=after, error="query: it is empty.")
                continue
            request = RerankRequest(
                query=Content(value=text),
                documents=tuple(Content(value=self._documents[one]) for one in documents),
            )
            yield InputRow(
                line=i + 1,
                id=query,
                after=after,
                request=self._wishes.applied(request),
                names=documents,
            )

    def close(self) -> None:
        """Close the files of texts."""
        self._queries.close()
        self._documents.close()


def of_run(run: Path, topics: Path, documents: Path, wishes: Wishes) -> ListSource:
    """A TREC run, whose documents are ranked in its order. Raises StartError."""
    return ListSource("run", read_trec_run(run), (topics, documents), wishes)


def of_collection(folder: Path, wishes: Wishes) -> ListSource:
    """The candidates of a test collection, of all queries. Raises StartError."""
    queries, documents, candidates = collection_files(folder)
    lists: dict[str, list[str]] = {}
    for number, line in read_jsonl(candidates, Candidates):
        if line.qid in lists or not line.docs or len(set(line.docs)) < len(line.docs):
            raise StartError(
                f"{candidates} line {number}: no document, or a query or a document is there twice."
            )
        lists[line.qid] = line.docs
    return ListSource("collection", lists, (queries, documents), wishes)


def collection_files(folder: Path) -> list[Path]:
    """What is read of a test collection; the documents may be gzipped."""
    paths = [folder / name for name in COLLECTION_FILES]
    return [path if path.exists() else path.with_name(path.name + ".gz") for path in paths]
