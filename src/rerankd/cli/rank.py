"""`rerankd rank`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, NamedTuple

import msgspec
from cyclopts import Parameter
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from rerankd.cli.terminal import console
from rerankd.core.errors import StartError
from rerankd.core.types import Hit
from rerankd.service.reranker import Reranker


class _Numbered(NamedTuple):
    number: int  # in the file, from 1
    text: str


class _Line(msgspec.Struct):
    text: str


class _Ranked(msgspec.Struct):
    index: int  # among the documents, from 0
    line: int
    relevance_score: float
    document: str


def rank(
    query: Annotated[str, Parameter(allow_leading_hyphen=True)],
    documents: Annotated[str, Parameter(allow_leading_hyphen=True)],
    /,
    *,
    model: str | None = None,
    top_n: Annotated[int | None, Parameter(name=["--top-n", "-n"])] = None,
    raw_scores: Annotated[bool, Parameter(negative=())] = False,
    json: Annotated[bool, Parameter(negative=())] = False,
) -> None:
    """Rank the lines of a file by relevance to a query.

    Parameters
    ----------
    query
        What is searched for.
    documents
        A file with one document per line, or a .jsonl file with {"text": …} lines; - for stdin.
    model
        Catalog name or checkpoint folder; default: the model that ships inside.
    top_n
        How many to show; default all.
    raw_scores
        Show logits instead of scores.
    json
        Print JSON lines instead of a table.
    """
    if top_n is not None and top_n < 1:
        raise StartError(f"--top-n {top_n}: at least 1, or leave it out for all.")
    lines = _read(documents)
    with Reranker(model) as reranker:
        texts = [line.text for line in lines]
        hits = reranker.rank(query, texts, top_n=top_n, raw_scores=raw_scores)
    if json:
        for hit in hits:
            line = lines[hit.index]
            ranked = _Ranked(hit.index, line.number, hit.score, line.text)
            sys.stdout.buffer.write(msgspec.json.encode(ranked) + b"\n")
        sys.stdout.flush()
    else:
        console().print(_table(hits, lines, bars=not raw_scores))


def _read(source: str) -> list[_Numbered]:
    """The documents: non-blank lines with their line numbers. Raises StartError."""
    try:
        raw = sys.stdin.buffer.read() if source == "-" else Path(source).read_bytes()
        text = raw.decode("utf-8-sig")
    except OSError as error:
        raise StartError(f"Cannot read {source}: {error.strerror}.") from None
    except UnicodeDecodeError as error:
        raise StartError(f"{source} is not UTF-8 (byte {error.start}).") from None
    lines = [
        _Numbered(number, line.rstrip("\r"))
        for number, line in enumerate(text.split("\n"), 1)
        if line.strip()
    ]
    if source.endswith(".jsonl"):
        lines = [_Numbered(line.number, _text_of(line, source)) for line in lines]
    if not lines:
        raise StartError(f"{source} has no documents: one per line is expected.")
    return lines


def _text_of(line: _Numbered, source: str) -> str:
    try:
        return msgspec.json.decode(line.text, type=_Line).text
    except msgspec.MsgspecError as error:
        raise StartError(
            f'{source}, line {line.number}: {{"text": …}} is expected: {error}.'
        ) from None


def _table(hits: tuple[Hit, ...], documents: list[_Numbered], *, bars: bool) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("#", justify="right", style="dim")
    table.add_column("score", justify="right", no_wrap=True, min_width=6)
    if bars:
        table.add_column("", width=16, min_width=16)
    table.add_column("line", justify="right", style="dim", no_wrap=True, min_width=4)
    table.add_column("document", overflow="ellipsis", no_wrap=True, ratio=1)
    for place, hit in enumerate(hits, 1):
        bar = [ProgressBar(total=1.0, completed=hit.score, width=16)] if bars else []
        line = documents[hit.index]
        text = Text(" ".join(line.text.split()))
        table.add_row(str(place), f"{hit.score:.4f}", *bar, str(line.number), text)
    return table
