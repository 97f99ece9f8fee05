"""What the properties of all dialects draw: bodies from a dialect's own type, canonical values."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import strategies as st
from msgspec import inspect
from shapes import fields, fields_of

from rerankd.core.answer import Hit, Ranking
from rerankd.core.request import Content, RerankRequest

TEXT = st.text(st.characters(codec="utf-8"), max_size=12)
SAID = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)
TITLE = "title"  # the key beside `text` of document objects

OBJECT: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {"text": SAID}, optional={TITLE: TEXT, "id": st.integers(0, 9)}
)
RANK_FIELDS = st.sampled_from([["text"], [TITLE, "text"], ["text", "absent"]])


def bodies(kind: type[msgspec.Struct]) -> st.SearchStrategy[dict[str, Any]]:
    """Bodies that a request type allows: every field, null where it may be, or absent."""
    required: dict[str, Any] = {}
    optional: dict[str, Any] = {}
    for name, inner in fields(kind):
        drawn = RANK_FIELDS | st.none() if name == "rank_fields" else _values(inner.type)
        (required if inner.required else optional)[name] = drawn
    return st.fixed_dictionaries(required, optional=optional)


def _values(kind: inspect.Type) -> st.SearchStrategy[Any]:  # noqa: C901, PLR0911, PLR0912 - one line per type
    match kind:
        case inspect.Metadata():
            return _values(kind.type)
        case inspect.UnionType():
            return st.one_of(*(_values(option) for option in kind.types))
        case inspect.StructType():
            return bodies(kind.cls)
        case inspect.StrType():
            return SAID
        case inspect.BoolType():
            return st.booleans()
        case inspect.IntType():
            low = kind.ge if kind.ge is not None else -3
            return st.integers(low, kind.le if kind.le is not None else low + 5000)
        case inspect.FloatType():
            return st.sampled_from([0.5, 1.0])
        case inspect.NoneType():
            return st.none()
        case inspect.LiteralType():
            return st.sampled_from(kind.values)
        case inspect.ListType():
            return st.lists(_values(kind.item_type), min_size=1, max_size=4)
        case inspect.DictType():
            return OBJECT
        case inspect.AnyType():
            return st.none() | TEXT | st.integers()
        case _:
            raise NotImplementedError(f"teach the strategy {kind}")


@st.composite
def requests(draw: st.DrawFn) -> RerankRequest:
    """Canonical requests of any caller: each field said or not."""
    rank_fields = draw(st.sampled_from([(), ("text",)]))
    text = SAID.map(lambda value: Content(value=value))
    sent = OBJECT.map(lambda value: Content(value=value["text"], echo=value))
    image = st.just(Content(modality="image", value="https://x.y/z.png"))
    document = text | sent if rank_fields else text | sent | image
    return RerankRequest(
        query=draw(text | sent | image),
        documents=tuple(draw(st.lists(document, min_size=1, max_size=4))),
        model=draw(st.none() | SAID),
        top_n=draw(st.none() | st.integers(1, 5)),
        instruction=draw(st.none() | SAID),
        return_documents=draw(st.none() | st.booleans()),
        max_chunks_per_doc=draw(st.sampled_from([1, 10, 1024])),
        overlap_tokens=draw(st.sampled_from([0, 80])),
        max_tokens_per_doc=draw(st.none() | st.sampled_from([1, 4096])),
        truncation=draw(st.booleans()),
        truncate_query=draw(st.booleans()),
        max_tokens_per_query=draw(st.none() | st.sampled_from([1, 4096])),
        raw_scores=draw(st.booleans()),
        priority=draw(st.integers(0, 3)),
        rank_fields=rank_fields,
    )


@st.composite
def rankings(draw: st.DrawFn, request: RerankRequest) -> Ranking:
    """Rankings that a provider could give: its score stands for the logit."""
    scores = [draw(st.floats(0, 1)) for _ in request.documents]
    order = sorted(range(len(scores)), key=lambda index: (-scores[index], index))
    tokens = draw(st.integers(0, 10**6))
    return Ranking(
        model=draw(SAID),
        hits=tuple(
            Hit(index, scores[index], scores[index], draw(st.booleans()))
            for index in order[: request.top_n]
        ),
        documents=len(scores),
        input_tokens=draw(st.sampled_from((tokens, None))),
        cached_tokens=draw(st.integers(0, tokens)),
        image_tokens=draw(st.integers(0, tokens)),
        warnings=tuple(draw(st.lists(SAID, max_size=2))),
    )


def nonsense(kind: type[msgspec.Struct]) -> st.SearchStrategy[bytes]:
    """Bytes, and JSON that has the names of a body's fields and anything for values."""
    names = [part for name in fields_of(kind) for part in name.split(".")]
    anything = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT,
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from([*names, "text", "image", "x"]), inner, max_size=5)
        ),
        max_leaves=10,
    )
    return st.binary(max_size=60) | anything.map(msgspec.json.encode)
