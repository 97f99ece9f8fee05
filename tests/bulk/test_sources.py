"""Inputs: what their rows are, and that they can be read from any place between two rows."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from rerankd.bulk import text_lines as text_lines_module
from rerankd.bulk.inputs import Input
from rerankd.bulk.rows import Source
from rerankd.bulk.wishes import Wishes
from rerankd.core.errors import StartError
from tests.bulk.kit import lines, pair_rows, read, request_rows


def source(path: Path, *columns: str, wishes: Wishes | None = None) -> Source:
    return Input(path=path, columns=columns).source(wishes or Wishes())


def texts(path: Path, *columns: str) -> list[tuple[str | int, str, str]]:
    """Id, query and document of pairs."""
    return [
        (row.id, row.request.query.value, row.request.documents[0].value)
        for row in read(source(path, *columns))
        if row.request is not None
    ]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("kind", ["requests", "pairs", "table"])
def test_reading_on_from_any_row_gives_the_rows_behind_it(
    tmp_path: Path, kind: str, *, packed: bool
) -> None:
    suffix = "tsv" if kind == "table" else "jsonl"
    path = tmp_path / f"in.{suffix}"
    if kind == "table":
        path.write_text("".join(f"q {i}\tdé {i}\r\n\n" for i in range(9)))
    else:
        lines(path, request_rows(9) if kind == "requests" else pair_rows(9))
    if packed:
        path = path.rename(tmp_path / f"raw.{suffix}")
        whole = path.with_name(path.name + ".gz")
        whole.write_bytes(gzip.compress(path.read_bytes()))
        path = whole
    rows = read(source(path))
    assert len(rows) == 9
    for i, row in enumerate(rows):
        assert [each.line for each in read(source(path), row.after)] == [
            each.line for each in rows[i + 1 :]
        ]


def test_tables_without_a_header_are_known_by_their_columns(tmp_path: Path) -> None:
    path = tmp_path / "in.tsv"
    path.write_text("q\td\n")
    assert texts(path) == [(1, "q", "d")]
    path.write_text("7\tq\td\n")
    assert texts(path) == [("7", "q", "d")]
    path.write_text("1\t2\tq\td\n1\t3\tq\te\n")
    assert texts(path) == [("1 2", "q", "d"), ("1 3", "q", "e")]
    path.write_text("1\t2\t3\tq\td\n")
    with pytest.raises(StartError, match="has 5 columns"):
        texts(path)


def test_a_header_and_columns_name_what_is_what(tmp_path: Path) -> None:
    path = tmp_path / "in.tsv"
    path.write_text("\ufeffdocument\tlabel\tquery\nd\t1\tq\n")
    assert texts(path) == [(2, "q", "d")]
    path.write_text("passage\tnr\tquestion\nd\t1\tq\n")
    assert texts(path, "query=question", "document=passage", "id=nr") == [("1", "q", "d")]
    with pytest.raises(StartError, match="names no columns text and document"):
        texts(path, "query=text")


def test_keys_of_json_pairs_can_be_named(tmp_path: Path) -> None:
    path = lines(tmp_path / "in.jsonl", [{"key": "k", "question": "q", "passage": "d", "x": [1]}])
    assert texts(path, "query=question", "document=passage", "id=key") == [("k", "q", "d")]


def test_lines_that_are_no_rows_say_why(tmp_path: Path) -> None:
    path = tmp_path / "in.tsv"
    path.write_bytes(b"q\td\nq\nq\t\xff\n\tempty query\nq\t\n")
    found = read(source(path))
    assert [row.error for row in found] == [
        "",
        "The line has 1 columns; 2 are expected.",
        "The line is not UTF-8 (byte 2).",
        "query: at least 1 character is needed.",
        "",
    ]
    raw = [
        '{"query": "q", "document": "d"}',
        "[]",
        '{"query": 1, "document": "d"}',
        '{"document": "d"}',
        '{"id": 1.5, "query": "q", "document": "d"}',
        '{"id": true, "query": "q", "document": "d"}',
    ]
    pairs = tmp_path / "in.jsonl"
    pairs.write_text("\n".join(raw))
    errors = [row.error for row in read(source(pairs))]
    assert errors[0] == ""
    assert "Expected `object`" in errors[1]
    assert errors[2:] == [
        "query: a string is expected, not int.",
        "query: is missing.",
        "id: a string or a whole number is expected.",
        "id: a string or a whole number is expected.",
    ]


def test_a_line_without_end_is_one_bad_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_lines_module, "MOST_BYTES", 100)
    monkeypatch.setattr(text_lines_module, "_SKIP_BYTES", 64)
    path = tmp_path / "in.tsv"
    path.write_text(f"q\td\nq\t{'x' * 1000}\nq\te\n")
    rows = read(source(path))
    assert [row.line for row in rows] == [1, 2, 3]
    assert [bool(row.error) for row in rows] == [False, True, False]
    assert [row.line for row in read(source(path), rows[1].after)] == [3]


def test_a_request_line_is_a_body_of_v1_rerank(tmp_path: Path) -> None:
    body = {
        "id": "a",
        "query": "q",
        "documents": [{"text": "one", "id": 7}, {"text": "two", "id": "x"}],
        "top_k": 1,
        "max_tokens_per_doc": 9,
        "instruct": "find",
        "return_documents": True,
        "model": "another",
    }
    path = lines(tmp_path / "in.jsonl", [body])
    [row] = read(source(path, wishes=Wishes(raw_scores=True)))
    asked = row.request
    assert asked is not None
    assert row.names == [7, "x"]
    assert (asked.top_n, asked.max_tokens_per_doc, asked.instruction) == (1, 9, "find")
    assert (asked.raw_scores, asked.return_documents, asked.model) == (True, False, "another")


def test_a_row_that_names_another_model_is_told(tmp_path: Path) -> None:
    rows = [
        {"query": "q", "documents": ["d"], "model": name} for name in ("here", "alias", "other")
    ]
    path = lines(tmp_path / "in.jsonl", rows)
    found = read(source(path, wishes=Wishes(serves=("here", "alias"))))
    assert [bool(row.error) for row in found] == [False, False, True]
    assert "the row names other, and here answers here" in found[2].error
    told = read(source(path, wishes=Wishes(model="here", serves=("here", "alias"))))
    assert not any(row.error for row in told)


def test_an_input_of_no_kind_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "in.xlsx"
    path.write_bytes(b"x")
    with pytest.raises(StartError, match=r"ends in none of \.jsonl"):
        source(path)


def test_a_pair_is_asked_for_as_a_request_would_be(tmp_path: Path) -> None:
    path = lines(tmp_path / "in.jsonl", [{"query": "q", "document": "d"}])
    whole = lines(tmp_path / "whole.jsonl", [{"query": "q", "documents": ["d"]}])
    for wishes in (Wishes(), Wishes(model="m", instruction="find", raw_scores=True)):
        [pair], [request] = read(source(path, wishes=wishes)), read(source(whole, wishes=wishes))
        assert pair.request == request.request
