"""TREC runs, test collections and Parquet as inputs."""

from __future__ import annotations

import gzip
from collections.abc import Generator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, TypedDict

import pytest

from rerankd import extras
from rerankd.bulk.inputs import Input
from rerankd.bulk.rows import Source
from rerankd.bulk.wishes import Wishes
from rerankd.core.errors import StartError
from rerankd.extras import library
from rerankd.measure.trec import read_trec_run
from tests.bulk.kit import lines, pair_rows, parts, read, request_rows, rows_of, run

DATA = Path(__file__).parents[1] / "data"
RUN = "t1 Q0 d2 1 9.5 bm25\nt1 Q0 d1 2 9.0 bm25\nt2 Q0 d1 1 3 bm25\n"


class Trec(TypedDict):
    path: Path
    topics: Path
    documents: Path


@contextmanager
def of(
    path: Path,
    topics: Path | None = None,
    documents: Path | None = None,
    columns: Sequence[str] = (),
) -> Generator[Source]:
    written = Input(path=path, topics=topics, documents=documents, columns=columns)
    with closing(written.source(Wishes())) as source:
        yield source


@pytest.fixture
def trec(tmp_path: Path) -> Trec:
    """A run, its topics as a table and its documents packed, one of them not in the run."""
    first = tmp_path / "first.run"
    first.write_text(RUN)
    topics = tmp_path / "topics.tsv"
    topics.write_text("t1\tone query\nt2\tanother\nt3\tnot asked\n")
    documents = tmp_path / "docs.jsonl.gz"
    documents.write_bytes(
        gzip.compress(
            b'{"_id": "d0", "text": "never"}\n{"_id": "d1", "title": "Title", "text": "one"}\n'
            b'\n{"id": "d2", "text": "tw\xc3\xb6"}\n'
        )
    )
    return {"path": first, "topics": topics, "documents": documents}


def test_a_run_is_read_with_its_texts_in_its_order(trec: Trec) -> None:
    with of(**trec) as source:
        rows = read(source)
        assert [row.id for row in read(source, rows[0].after)] == ["t2"]
    assert [row.id for row in rows] == ["t1", "t2"]
    assert [list(row.names) for row in rows] == [["d2", "d1"], ["d1"]]
    asked = [row.request for row in rows]
    assert [each.query.value for each in asked if each] == ["one query", "another"]
    assert [[d.value for d in each.documents] for each in asked if each] == [
        ["twö", "Title one"],
        ["Title one"],
    ]


def test_what_a_run_names_must_be_there(trec: Trec) -> None:
    trec["path"].write_text(RUN + "t9 Q0 d1 1 1 x\n")
    with pytest.raises(StartError, match="has no query t9"), of(**trec):
        pass
    trec["path"].write_text(RUN + "t2 Q0 d9 2 1 x\n")
    with pytest.raises(StartError, match="has no document d9"), of(**trec):
        pass
    with (
        pytest.raises(StartError, match="--topics and --documents go together"),
        of(trec["path"], topics=trec["topics"]),
    ):
        pass
    with (
        pytest.raises(StartError, match="a TREC run needs its texts"),
        of(trec["path"].rename(trec["path"].with_suffix(".trec"))),
    ):
        pass


def test_a_text_that_is_there_twice_is_refused(trec: Trec) -> None:
    trec["topics"].write_text("t1\ta\nt2\tb\nt1\tc\n")
    with pytest.raises(StartError, match=r"topics\.tsv line 3: t1 is there twice"), of(**trec):
        pass


def test_a_collection_becomes_a_run_that_tools_read(tmp_path: Path) -> None:
    folder, out = DATA / "xquad-de", tmp_path / "out"
    counts = run(folder, out)
    found = read_trec_run(out / "run.trec")
    assert len(found) == counts.rows > 10
    for row in rows_of(out):
        assert found[row["id"]] == [each["id"] for each in row["results"]]


def test_a_collection_that_was_stopped_has_the_same_run(tmp_path: Path) -> None:
    asked: list[int] = []

    def stops() -> bool:
        asked.append(1)
        return len(asked) > 3

    folder = DATA / "xquad-de"
    run(folder, tmp_path / "whole")
    run(folder, tmp_path / "out", stops=stops)
    assert not (tmp_path / "out" / "run.trec").exists()
    run(folder, tmp_path / "out")
    assert parts(tmp_path / "out") == parts(tmp_path / "whole")
    wanted = (tmp_path / "whole" / "run.trec").read_bytes()
    assert (tmp_path / "out" / "run.trec").read_bytes() == wanted


def parquet(path: Path, rows: list[dict[str, Any]], group: int = 4) -> Path:
    table = library("pyarrow").Table.from_pylist(rows)
    library("pyarrow.parquet").write_table(table, path, row_group_size=group)
    return path


@pytest.mark.parametrize("make", [pair_rows, request_rows])
def test_parquet_gives_the_bytes_of_json_lines(tmp_path: Path, make: Any) -> None:
    rows = make(23)
    run(lines(tmp_path / "in.jsonl", rows), tmp_path / "json")
    run(parquet(tmp_path / "in.parquet", rows), tmp_path / "out", stops=lambda: False)
    assert parts(tmp_path / "out") == parts(tmp_path / "json")
    with of(tmp_path / "in.parquet") as source:
        for i, row in enumerate(read(source)):
            assert len(read(source, row.after)) == 22 - i


def test_parquet_rows_that_cannot_be_used_say_why(tmp_path: Path) -> None:
    path = parquet(
        tmp_path / "in.parquet",
        [
            {"query": "q", "documents": ["a"]},
            {"query": None, "documents": ["a"]},
            {"query": "q", "documents": []},
            {"query": "q", "documents": None},
            {"query": "q", "documents": ["a", None]},
        ],
    )
    with of(path) as source:
        errors = [row.error for row in read(source)]
    assert errors == [
        "",
        "query: is missing.",
        "documents: at least one is needed.",
        "documents: at least one is needed.",
        "documents[1]: a string is expected.",
    ]


def test_parquet_columns_can_be_named_and_must_be_there(tmp_path: Path) -> None:
    path = parquet(tmp_path / "in.parquet", [{"question": "q", "passage": "d", "nr": 7}])
    columns = ("query=question", "document=passage", "id=nr")
    with of(path, columns=columns) as source:
        assert [row.id for row in read(source)] == [7]
    with pytest.raises(StartError, match="no column query; it has nr, passage, question"), of(path):
        pass
    path.write_bytes(b"no parquet")
    with pytest.raises(StartError, match="cannot be read"), of(path):
        pass


def test_without_pyarrow_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(name: str) -> Any:
        raise ModuleNotFoundError(name=name)

    path = parquet(tmp_path / "in.parquet", pair_rows(1))
    monkeypatch.setattr(extras.importlib, "import_module", gone)
    with pytest.raises(StartError, match=r"rerankd\[parquet\]"), of(path):
        pass
