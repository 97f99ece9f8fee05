"""Loaded by schemathesis: makes valid bodies ones that are ranked, and counts what was answered.

A body that is right by its type is mostly refused all the same: nobody serves a model of a random
name. So that answers are checked and not only refusals, such a body names the served model, and
its objects have a text. Bodies that are wrong on purpose stay as they are.
"""

from __future__ import annotations

import atexit
import collections
import json
import os
from pathlib import Path
from typing import Any

import schemathesis

MODEL = os.environ["RERANKD_SCHEMA_MODEL"]
EMBEDDER = "rerankd-mini"  # served beside it, for the operations that embed
COUNTS = Path(os.environ["RERANKD_SCHEMA_COUNTS"])

# What holds queries or documents; of what is paired there are as many of one as of the other.
TEXTS = {"query", "documents", "texts", "passages", "input", "queries", "text_1", "text_2"}
PAIRED = (("queries", "documents"), ("text_1", "text_2"))
# Names of one row, of which vLLM's /score takes one.
SAME = (("text_1", "queries", "data_1"), ("text_2", "documents", "items", "data_2"))
# Pydantic takes 0, 1, "yes" and their like for a boolean; the document says what a client sends.
BOOLEANS = {
    *("raw_scores", "return_documents", "return_input", "return_len", "rewrite_query"),
    *("late_chunking", "return_multivector", "normalized", "truncate"),
}

# Of embeddings, what most values of are refused: 200s are to be seen too.
REFUSED = {
    *("images", "embedding_types", "output_dtype", "embedding_type", "prompt_name"),
    *("dimensions", "output_dimension", "late_chunking", "return_multivector", "normalize"),
    *("input_type", "truncate", "truncation_direction", "max_tokens"),
}

answered: dict[str, collections.Counter[int]] = collections.defaultdict(collections.Counter)


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """Mend what is valid by its type; make wrong what is taken for a boolean all the same."""
    meta = case.meta
    if meta is None:
        return
    if meta.generation.mode is not schemathesis.GenerationMode.POSITIVE:
        if isinstance(case.body, dict):
            case.body = without_words(case.body)
        return
    if case.path_parameters:
        case.path_parameters = dict.fromkeys(case.path_parameters, MODEL)
    if isinstance(case.body, dict):
        embeds = "embed" in case.operation.path
        case.body = embeddable(case.body) if embeds else mended(case.body)


def without_words(body: dict[str, Any]) -> dict[str, Any]:
    """Booleans as numbers and words, which some servers and so their dialects take, as objects."""
    return {
        name: {} if name in BOOLEANS and isinstance(value, int | float | str) else value
        for name, value in body.items()
    }


def embeddable(body: dict[str, Any]) -> dict[str, Any]:
    """A body of texts as somebody would send it: what stays wrong is a value that is refused."""
    found = {name: value for name, value in body.items() if name not in REFUSED}
    for name in ("input", "inputs", "texts"):
        if name in found:
            found[name] = filled(found[name]) if isinstance(found[name], list) else "a text"
    return found | ({"model": EMBEDDER} if isinstance(found.get("model"), str) else {})


def mended(body: dict[str, Any]) -> dict[str, Any]:
    """A body as somebody would send it."""
    found = {name: mended_field(name, value) for name, value in body.items()}
    for first, *others in SAME:
        if found.get(first) is not None:
            found = {name: value for name, value in found.items() if name not in others}
    for query, documents in PAIRED:
        if isinstance(found.get(query), list) and isinstance(found.get(documents), list):
            found[documents] = (found[documents] or ["a text"])[: len(found[query]) or 1]
            found[query] = (found[query] or ["q"])[: len(found[documents])]
    return found


def mended_field(name: str, value: Any) -> Any:
    """A field of it."""
    if name == "model" and isinstance(value, str):
        return MODEL
    if name == "rank_fields" and value:
        return ["text"]
    if name == "inputs":  # a reranker scores pairs
        return [["q", str(text)] for text in value] or ["q", "a text"]
    if name == "input" and isinstance(value, dict):  # DashScope's request is in there
        return mended(value)
    if name in TEXTS:
        return with_text(value or "a text") if not isinstance(value, list) else filled(value)
    return value


def filled(values: list[Any]) -> list[Any]:
    """At least one, each with a text."""
    return [with_text(value) for value in values] or ["a text"]


def with_text(value: Any) -> Any:
    """An object with a text; anything else as it is."""
    if not isinstance(value, dict):
        return value
    text = value.get("text")
    return {**value, "text": text if text and isinstance(text, str) else "a text"}


@schemathesis.hook
def after_call(context: Any, case: Any, response: Any) -> None:
    """Count the answer, unless the method is one that the document does not have."""
    if case.method.upper() == case.operation.method.upper():
        answered[case.operation.label][response.status_code] += 1


@atexit.register
def write() -> None:
    """For the run that started this one."""
    COUNTS.write_text(json.dumps(answered))
