"""`rerankd rank`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

import msgspec
from cyclopts import Parameter
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from rerankd.cli.explained import Told, explained_lines, told_of
from rerankd.cli.options import model_spec
from rerankd.cli.terminal import Bar, console, one_line
from rerankd.core.answer import Hit
from rerankd.core.errors import StartError
from rerankd.core.request import Content, RerankRequest
from rerankd.measure.trec import trec_run
from rerankd.models import catalog
from rerankd.models.load import load
from rerankd.service.reranker import Reranker

_BAR_COLUMNS = 16
_NARROW = 60  # columns; below, the bar makes room for the text


class _Numbered(NamedTuple):
    number: int  # in the file, from 1
    text: str
    id: str  # its own, or its line


class _Line(msgspec.Struct):
    text: str
    id: str | int | None = None


class _Ranked(msgspec.Struct, omit_defaults=True):
    index: int  # among the documents, from 0
    line: int
    relevance_score: float
    document: str
    id: str = ""  # when the file has one
    explained: Told | None = None  # with --explain


def rank(  # noqa: PLR0913 - a parameter is a flag
    query: Annotated[str, Parameter(allow_leading_hyphen=True)],
    documents: Annotated[str, Parameter(allow_leading_hyphen=True)],
    /,
    *,
    model: str | None = None,
    top_n: Annotated[int | None, Parameter(name=["--top-n", "-n"])] = None,
    raw_scores: Annotated[bool, Parameter(negative=())] = False,
    explain: Annotated[bool, Parameter(negative=())] = False,
    json: Annotated[bool, Parameter(negative=())] = False,
    run_out: Path | None = None,
    query_id: str = "1",
) -> None:
    """Rank the lines of a file by relevance to a query.

    Parameters
    ----------
    query
        What is searched for.
    documents
        A file with one document per line, or a .jsonl file with {"text": …} lines; - for stdin.
    model
        Catalog name or checkpoint folder, with settings if need be: NAME,precision=int8.
        Default: rerankd-multi where it is installed, else rerankd-mini.
    top_n
        How many to show; default all.
    raw_scores
        Show logits instead of scores.
    explain
        Show how each score came about: the chunks of a document, which one won, matched words.
    json
        Print JSON lines instead of a table.
    run_out
        File to write the ranking to in TREC's form, instead of printing it. A document's id is its
        "id" in a .jsonl file, else its line number.
    query_id
        The query's id in that file.
    """
    if top_n is not None and top_n < 1:
        raise StartError(f"--top-n {top_n}: at least 1, or leave it out for all.")
    spec = model_spec(model or catalog.DEFAULT)
    lines = _read(documents)
    with Bar() as bar:
        bar.step(f"loading {spec.name}", 0, None)
        with Reranker.of(load(spec)) as reranker:
            request = RerankRequest(
                query=Content(value=query),
                documents=tuple(Content(value=line.text) for line in lines),
                top_n=top_n,
                raw_scores=raw_scores,
                explain=explain,
            )
            bar.step("reading", 0, None)
            hits = reranker.rerank(request, lambda done, of: bar.step("ranking", done, of)).hits
    if run_out is not None:
        ranked = [(lines[hit.index].id, hit.score) for hit in hits]
        _write(run_out, trec_run(query_id, ranked, spec.name))
    elif json:
        _print_lines(hits, lines)
    else:
        out = console()
        out.print(_table(hits, lines, columns=out.width, bars=not raw_scores))
        for place, hit in enumerate(hits, 1):
            line = lines[hit.index]
            head = f"#{place}, line {line.number}"
            for text in explained_lines(head, hit, query, line.text, columns=out.width):
                out.print(text, no_wrap=True, overflow="ellipsis")


def _print_lines(hits: Sequence[Hit], lines: Sequence[_Numbered]) -> None:
    for hit in hits:
        line = lines[hit.index]
        own = "" if line.id == str(line.number) else line.id
        shown = _Ranked(hit.index, line.number, hit.score, line.text, own, told_of(hit))
        sys.stdout.buffer.write(msgspec.json.encode(shown) + b"\n")
    sys.stdout.flush()


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, "utf-8")
    except OSError as error:
        raise StartError(f"Cannot write {path}: {error.strerror}.") from None


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
        _Numbered(number, line.rstrip("\r"), str(number))
        for number, line in enumerate(text.split("\n"), 1)
        if line.strip()
    ]
    if source.endswith(".jsonl"):
        lines = [_parsed(line, source) for line in lines]
    if not lines:
        raise StartError(f"{source} has no documents: one per line is expected.")
    return lines


def _parsed(line: _Numbered, source: str) -> _Numbered:
    """The document of a .jsonl line. Raises StartError."""
    try:
        found = msgspec.json.decode(line.text, type=_Line)
    except msgspec.MsgspecError as error:
        raise StartError(
            f'{source}, line {line.number}: {{"text": …}} is expected: {error}.'
        ) from None
    return line._replace(text=found.text, id=line.id if found.id is None else str(found.id))


def _table(hits: tuple[Hit, ...], documents: list[_Numbered], *, columns: int, bars: bool) -> Table:
    """The ranking, as wide as the screen: the document takes what the figures leave."""
    bars = bars and columns >= _NARROW
    table = Table(box=None, pad_edge=False, expand=True)
    table.add_column("#", justify="right", style="dim", no_wrap=True)
    table.add_column("score", justify="right", no_wrap=True)
    if bars:
        table.add_column("", width=_BAR_COLUMNS, no_wrap=True)
    table.add_column("line", justify="right", style="dim", no_wrap=True)
    table.add_column("document", overflow="ellipsis", no_wrap=True, ratio=1)
    for place, hit in enumerate(hits, 1):
        bar = [ProgressBar(total=1.0, completed=hit.score, width=_BAR_COLUMNS)] if bars else []
        line = documents[hit.index]
        text = Text(one_line(line.text, columns))
        table.add_row(str(place), f"{hit.score:.4f}", *bar, str(line.number), text)
    return table
