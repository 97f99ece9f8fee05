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
COUNTS = Path(os.environ["RERANKD_SCHEMA_COUNTS"])

answered: dict[str, collections.Counter[int]] = collections.defaultdict(collections.Counter)


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """Mend what is valid by its type."""
    meta = case.meta
    if meta is None or meta.generation.mode is not schemathesis.GenerationMode.POSITIVE:
        return
    if case.path_parameters:
        case.path_parameters = dict.fromkeys(case.path_parameters, MODEL)
    if isinstance(case.body, dict):
        case.body = {name: mended(name, value) for name, value in case.body.items()}


def mended(name: str, value: Any) -> Any:
    """A field of a body as somebody would send it."""
    if name == "model" and isinstance(value, str):
        return MODEL
    if name == "rank_fields" and value:
        return ["text"]
    if isinstance(value, list):
        return [with_text(item) for item in value]
    return with_text(value or "q") if name == "query" else value


def with_text(value: Any) -> Any:
    """An object with a text; anything else as it is."""
    if not isinstance(value, dict):
        return value
    return {**value, "text": value["text"] if isinstance(value.get("text"), str) else "a text"}


@schemathesis.hook
def after_call(context: Any, case: Any, response: Any) -> None:
    """Count the answer."""
    answered[f"{case.method} {case.path}"][response.status_code] += 1


@atexit.register
def write() -> None:
    """For the run that started this one."""
    COUNTS.write_text(json.dumps(answered))
