"""What every client script must show: a whole, right answer, and its own error for a wrong key.

A script gives `call(base, key, model, **more) -> Answer | Vectors` and the look of its own error;
`more` is what the client's caller would like to add. It is started by run.py, which says in
RERANKD_CLIENT where the server is; it prints one line of JSON. With `scripts`, it then calls the
scripted server of scripted.py, once for each.
"""

from __future__ import annotations

import concurrent.futures
import json
import math
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

warnings.filterwarnings("ignore")
os.environ |= {
    "NO_PROXY": "*",
    "HF_HUB_OFFLINE": "1",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "HAYSTACK_TELEMETRY_ENABLED": "False",
    "NVIDIA_USAGE_TELEMETRY_ENABLED": "false",
}

QUERY = "What is the capital of France?"
DOCUMENTS = [
    "Bananas are a good source of potassium.",
    "量子计算是计算科学的一个前沿领域。",
    "Paris is the capital of France and its largest city.",
    "-",
]
TOP_N = 3
BEST = 2
TEXTS = [*DOCUMENTS, QUERY]  # to embed
DIMENSIONS = 384  # of the model that embeds
UNIT_WITHIN = 1e-5  # of 1: lengths


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a client gave back: (index, score, text or None), best first unless `in_order`."""

    results: list[tuple[int, float, str | None]]
    usage: float | None = None  # what the client shows of tokens or units
    count: int = TOP_N  # all documents, for a protocol without top_n
    in_order: bool = False  # of the documents, for a protocol that does not rank
    raw: Any = None  # the client's own object, where all that its caller gets is in


@dataclass(frozen=True, kw_only=True)
class Vectors:
    """What a client gave back of TEXTS: a vector for each, in their order."""

    vectors: Sequence[Sequence[float]]
    usage: float | None = None
    raw: Any = None


def status(code: int) -> Callable[[BaseException], bool]:
    """An exception that carries this HTTP status, itself or in its cause."""

    def found(error: BaseException | None) -> bool:
        while error is not None:
            for holder in (error, getattr(error, "response", None)):
                names = ("status_code", "status", "code")
                if any(str(getattr(holder, name, None)) == str(code) for name in names):
                    return True
            error = error.__cause__
        return False

    return found


def says(kind: type[BaseException], *words: str) -> Callable[[BaseException], bool]:
    """An exception of this class whose message has one of the words."""
    return lambda error: (
        isinstance(error, kind) and any(word in str(error).lower() for word in words)
    )


def is_a(kind: type[BaseException]) -> Callable[[BaseException], bool]:
    """An exception of this class."""
    return lambda error: isinstance(error, kind)


def wrong_with(answer: Answer | Vectors, *, usage: bool, text: bool) -> str:
    """Why an answer is not right; empty when it is."""
    if isinstance(answer, Vectors):
        return _wrong_with_vectors(answer, usage=usage)
    indexes = [index for index, _, _ in answer.results]
    scores = [score for _, score, _ in answer.results]
    ranked = sorted(answer.results, key=lambda r: -r[1]) if answer.in_order else answer.results
    checks = [
        (len(indexes) == answer.count, f"{len(indexes)} results, not {answer.count}"),
        (len(set(indexes)) == len(indexes), f"an index twice: {indexes}"),
        (set(indexes) <= set(range(len(DOCUMENTS))), f"unknown index: {indexes}"),
        (all(isinstance(s, float) and math.isfinite(s) for s in scores), f"scores: {scores}"),
        (answer.in_order or scores == sorted(scores, reverse=True), f"not sorted: {scores}"),
        (bool(ranked) and ranked[0][0] == BEST, f"best is not {BEST}: {indexes} {scores}"),
        (len(ranked) > 1 and ranked[0][1] > ranked[1][1], f"best is a tie: {scores}"),
        (not usage or (answer.usage or 0) > 0, f"usage: {answer.usage}"),
        (not text or all(t is not None for _, _, t in answer.results), "text is missing"),
        (all(t is None or t == DOCUMENTS[i] for i, _, t in answer.results), "text differs"),
    ]
    return "; ".join(why for holds, why in checks if not holds)


def _wrong_with_vectors(answer: Vectors, *, usage: bool) -> str:
    """Why vectors are not right: the query's must be nearest to the right document's."""
    sizes = [len(vector) for vector in answer.vectors]
    if sizes != [DIMENSIONS] * len(TEXTS):
        return f"not {len(TEXTS)} vectors of {DIMENSIONS} numbers: {sizes}"
    numbers = [number for vector in answer.vectors for number in vector]
    *documents, query = answer.vectors
    near = [sum(a * b for a, b in zip(query, document, strict=True)) for document in documents]
    lengths = [math.hypot(*vector) for vector in answer.vectors]
    checks = [
        (all(isinstance(n, float) and math.isfinite(n) for n in numbers), "not all are numbers"),
        (all(abs(length - 1) < UNIT_WITHIN for length in lengths), f"lengths: {lengths}"),
        (near.index(max(near)) == BEST, f"nearest is not {BEST}: {near}"),
        (not usage or (answer.usage or 0) > 0, f"usage: {answer.usage}"),
    ]
    return "; ".join(why for holds, why in checks if not holds)


def run(
    call: Callable[..., Answer | Vectors],
    *,
    refused: Callable[[BaseException], bool],
    usage: bool = False,
    text: bool = False,
) -> None:
    """The right key, then the wrong one; prints the outcome and ends the process."""
    given = json.loads(os.environ["RERANKD_CLIENT"])
    base, model = given["base"], given["model"]
    outcome: dict[str, Any] = {"right": "", "wrong": ""}  # why not; empty = passed
    try:
        outcome["right"] = wrong_with(call(base, given["key"], model), usage=usage, text=text)
    except Exception as error:
        outcome["right"] = _named(error)
    try:
        call(base, given["wrong_key"], model)
        outcome["wrong"] = "no error"
    except Exception as error:
        outcome["wrong"] = "" if refused(error) else _named(error)
    if given["scripts"]:
        outcome |= _scripted(call, given)
    print(json.dumps(outcome), flush=True)
    sys.stdout.flush()
    os._exit(0)  # some clients leave threads behind


def _scripted(call: Callable[..., Answer | Vectors], given: dict[str, Any]) -> dict[str, Any]:
    """How each call ended, empty = right; and the values that the caller of each answer sees."""
    ends: dict[str, str] = {}
    saw: dict[str, list[Any]] = {}

    def one(script: str) -> None:
        key, more = f"{given['key']}.{script}", given["options"].get(script, {})
        try:
            answer = call(given["scripted"], key, given["model"], **more)
            ends[script] = wrong_with(answer, usage=False, text=False)
            saw[script] = list(dict.fromkeys(_values(answer.raw)))
        except Exception as error:
            ends[script] = _named(error)

    names = given["scripts"].split()
    one(names[0])  # alone: what it is the first to import is there for all
    with concurrent.futures.ThreadPoolExecutor(len(names)) as pool:
        list(pool.map(one, names[1:]))
    return {"ends": ends, "saw": saw}


def _values(found: Any, depth: int = 8) -> list[Any]:
    """The numbers and strings in an object of any kind."""
    if isinstance(found, (str, int, float)):
        return [found]
    if depth == 0 or found is None:
        return []
    kind: Any = type(found)  # pyright: ignore[reportUnknownVariableType]
    inner: list[Any]
    if issubclass(kind, dict):
        inner = list(found.values())
    elif issubclass(kind, (list, tuple)):
        inner = list(found)
    else:
        names = [*getattr(kind, "__struct_fields__", ()), *getattr(kind, "__slots__", ())]
        extra: dict[str, Any] = getattr(found, "__pydantic_extra__", None) or {}
        inner = [getattr(found, name, None) for name in names]
        inner += [*getattr(found, "__dict__", {}).values(), *extra.values()]
    return [value for part in inner for value in _values(part, depth - 1)]


def _named(error: BaseException) -> str:
    return f"{type(error).__module__}.{type(error).__name__}: {str(error)[:300]}"
