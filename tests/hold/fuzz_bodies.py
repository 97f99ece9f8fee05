"""Bodies that no dialect expects, through the whole app: none of them may be a 5xx.

Seeded: the same seed and number are the same cases. A case is a body that a dialect's own type
allows, with values replaced, added, doubled or left out, or with its bytes damaged.

    python tests/hold/fuzz_bodies.py 100000 --seed 7
"""

from __future__ import annotations

import argparse
import asyncio
import copy
import json
import random
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog
from msgspec import inspect

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))

from rerankd.dialects.base import AnyEndpoint
from rerankd.dialects.registry import SERVED
from rerankd.models.load import Loaded, Spec
from rerankd.service.plan import ServingPlan
from rerankd.web.app import create_app
from rerankd.web.assemble import make_state
from tests.kit.support import BytesModel, settings

Json = dict[str, Any]

_LIMITS: Json = {"documents": 8, "request_tokens": 4000, "query_bytes": 300, "document_bytes": 600}
_AT_ONCE = 8
_TEXTS = (
    "a",
    "a",
    "Paris",
    "Paris",
    "Berlin",
    " ",
    "日本",
    "true",
    "null",
    "1",
    "\x00",
    "\ufffd",
    "",
)
_ODD: list[Any] = [
    None, True, False, 0, 1, -1, 2, 1.0, 0.5, -0.0, 1e308, 2**31, 2**63, 2**64, 10**30, -(10**30),
    "", "a", "1", "1.0", "true", "None", "\ud83d", '{"top_n": {}}', "[", "x" * 5000,
]  # fmt: skip
_LISTS: list[Any] = [
    [], [[]], [{}], [None], [1], ["a"], ["a", 1], [["a", "b"]], [["a"]], [["a", "b", "c"]],
    ["a"] * 9,
]  # fmt: skip
_OBJECTS: list[Any] = [
    {}, {"": None}, {"text": []}, {"text": None}, {"text": "a", "image": "b"}, {"image": 1},
    {"video": {}}, {"image": "data:image/png;base64,AAAA"}, {"image": "http://127.0.0.1/x.png"},
    {"content": []}, {"content": [{"type": [], "text": "x"}]}, {"content": "x"},
    {"content": [{"type": "text", "text": "x"}]}, {"a": {"b": 1}}, {"instruction": []},
    {"content": [{"type": "image_url", "image_url": {"url": 1}}]}, {"text": "a", "k": 10**30},
]  # fmt: skip
_WEIRD = (*_ODD, *_LISTS, *_OBJECTS)
_LITERALS = (b"NaN", b"1e400", b"-", b"00", b"1" * 5000, b'"\\ud83d"', b'"\xff"', b"[" * 3000,
             b'{"a":' * 1500, b"0" + b".1" * 2, b'"\\x"', b"nul", b"1e-400", b"-0")  # fmt: skip
_KEYS = ("query", "documents", "texts", "input", "inputs", "queries", "top_n", "top_k", "kwargs",
         "model", "rank_fields", "parameters", "return_documents", "truncation", "raw_scores",
         "text_1", "text_2", "passages", "truncate_query", "", "__class__")  # fmt: skip
_HEADERS: tuple[tuple[bytes, bytes] | None, ...] = (
    None, None, None, None, None, (b"x-pinecone-api-version", b"2025-04"),
    (b"content-type", b"text/plain"), (b"content-encoding", b"gzip"), (b"authorization", b"\xff"),
)  # fmt: skip


@dataclass(slots=True)
class Found:
    """How the cases were answered."""

    statuses: Counter[int] = field(default_factory=Counter[int])
    failures: list[tuple[int, str, bytes]] = field(default_factory=list[tuple[int, str, bytes]])
    """Every 5xx: its status, path and body."""


def cases(seed: int, number: int) -> Iterator[tuple[str, bytes, tuple[bytes, bytes] | None]]:
    """(path, body, one more header) of each case."""
    rng = random.Random(seed)
    targets = [
        (path, inspect.type_info(served.body))
        for served in SERVED.served
        for path in _paths(served)
    ]
    for _ in range(number):
        path, kind = rng.choice(targets)
        body = _value(rng, kind, "")
        for _ in range(rng.choice((0, 0, 1, 1, 2, 3))):
            _damage(rng, body)
        yield path, _encoded(rng, body), rng.choice(_HEADERS)


async def fuzz(number: int, seed: int = 0) -> Found:
    """Send `number` cases to an app that serves one small fake model; nothing is logged."""
    before = structlog.get_config()
    structlog.configure(
        processors=[_nothing],
        logger_factory=structlog.ReturnLoggerFactory(),
        cache_logger_on_first_use=False,
    )
    found, waiting = Found(), cases(seed, number)
    app, lifespan = _app()
    try:
        async with lifespan():
            await asyncio.gather(*(_send_all(app, waiting, found) for _ in range(_AT_ONCE)))
    finally:
        structlog.configure(**before)
    return found


def _nothing(*_: object) -> str:
    return ""


def _app() -> tuple[Any, Callable[[], Any]]:
    def load(_: Spec) -> Loaded:
        return Loaded(model=BytesModel(), warnings=())

    state = make_state(settings(limits=_LIMITS, media={"fetch": False}), load=load)
    app: Any = create_app(
        state, ServingPlan(specs=(Spec(name="fake-model"),), aliases={"m": "fake-model"})
    )
    return app, lambda: app.app.router.lifespan_context(app.app)


async def _send_all(
    app: Any, waiting: Iterator[tuple[str, bytes, tuple[bytes, bytes] | None]], found: Found
) -> None:
    for path, body, header in waiting:
        status = await _send(app, path, body, header)
        found.statuses[status] += 1
        if status >= 500:
            found.failures.append((status, path, body))


async def _send(app: Any, path: str, body: bytes, header: tuple[bytes, bytes] | None) -> int:
    """The status of one request, sent past the server and its sockets."""
    started: list[int] = []
    pending = [{"type": "http.request", "body": body, "more_body": False}]
    gone = asyncio.Event()  # never set: the client waits

    async def receive() -> Json:
        if not pending:
            await gone.wait()
        return pending.pop()

    async def send(message: Json) -> None:
        if message["type"] == "http.response.start":
            started.append(message["status"])

    headers = [(b"host", b"test")] + ([header] if header else [])
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST",
        "scheme": "http", "path": path, "raw_path": path.encode(), "query_string": b"",
        "root_path": "", "headers": headers, "client": ("127.0.0.1", 1), "server": ("test", 80),
    }  # fmt: skip
    await app(scope, receive, send)
    return started[0]


def _paths(served: AnyEndpoint) -> list[str]:
    marked = [path for mark in served.marks for path in mark.paths]
    return [path.format(model="m") for path in (*served.own_paths(), *marked)]


def _value(rng: random.Random, kind: inspect.Type, name: str) -> Any:  # noqa: C901, PLR0911, PLR0912 - one line per type
    """A value that a type allows, most of the time."""
    match kind:
        case inspect.StructType():
            said = [f for f in kind.fields if f.required or rng.random() < 0.25]
            return {f.encode_name: _value(rng, f.type, f.encode_name) for f in said}
        case inspect.Metadata():
            return _value(rng, kind.type, name)
        case inspect.UnionType():
            return _value(rng, rng.choice(kind.types), name)
        case inspect.StrType():
            if name == "model":
                return rng.choice(("fake-model", "m", "m", "m", ""))
            return rng.choice(_TEXTS)
        case inspect.BoolType():
            return rng.random() < 0.5
        case inspect.IntType():
            return (kind.ge or 0) + rng.choice((0, 1, 5))
        case inspect.FloatType():
            return 1.0
        case inspect.LiteralType():
            return rng.choice(kind.values)
        case inspect.ListType():
            return [_value(rng, kind.item_type, name) for _ in range(rng.choice((1, 2, 2, 3)))]
        case inspect.DictType():
            if rng.random() < 0.4:
                return {"content": [{"type": "text", "text": t} for t in rng.sample(_TEXTS, 2)]}
            return {"text": rng.choice(_TEXTS), "id": copy.deepcopy(rng.choice(_WEIRD))}
        case inspect.AnyType():
            return copy.deepcopy(rng.choice(_WEIRD))
        case _:
            return None


def _damage(rng: random.Random, body: Any) -> None:
    """Put one thing in the wrong place, anywhere in the body."""
    here: Any = body
    while True:
        inner = [key for key in _keys(here) if isinstance(here[key], (dict, list)) and here[key]]
        if not inner or rng.random() < 0.25:
            break
        here = here[rng.choice(inner)]
    keys, is_object = _keys(here), isinstance(here, dict)
    weird = copy.deepcopy(rng.choice(_WEIRD))
    if is_object and (not keys or rng.random() < 0.2):
        here[rng.choice(_KEYS)] = weird
    elif keys and rng.random() < 0.2:
        del here[rng.choice(keys)]
    elif keys:
        key = rng.choice(keys)
        here[key] = [here[key], weird] if rng.random() < 0.2 else weird
    else:
        here.append(weird)


def _keys(value: Any) -> list[Any]:
    inner: Any = value
    return list(inner) if isinstance(value, dict) else list(range(len(inner)))


def _encoded(rng: random.Random, body: Any) -> bytes:
    """The body's bytes, now and then damaged."""
    ascii_only = rng.random() < 0.7
    raw = json.dumps(body, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    how = rng.random()
    if how < 0.9:
        return raw
    place = rng.randrange(len(raw) + 1)
    if how < 0.93:
        return raw[:place]
    if how < 0.96:
        return raw[:place] + bytes([rng.randrange(256)]) + raw[place + 1 :]
    if how < 0.99:
        colon = raw.rfind(b":", 0, place) + 1
        return raw[:colon] + rng.choice(_LITERALS) + raw[colon:]
    return b"\xef\xbb\xbf" + raw


def main() -> None:
    """Print counts by status, then every 5xx; exit 1 when there is one."""
    arguments = argparse.ArgumentParser()
    arguments.add_argument("number", type=int)
    arguments.add_argument("--seed", type=int, default=0)
    said = arguments.parse_args()
    found = asyncio.run(fuzz(said.number, said.seed))
    print(json.dumps(dict(sorted(found.statuses.items()))))  # noqa: T201
    for status, path, body in found.failures[:20]:
        print(status, path, body[:500])  # noqa: T201
    sys.exit(bool(found.failures))


if __name__ == "__main__":
    main()
