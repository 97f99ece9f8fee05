"""What clients send beside what is documented: the same in every dialect."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from honoured import planned
from msgspec import inspect
from shapes import Leaf, leaves, put, variants

from rerankd.core.errors import InvalidRequest
from rerankd.dialects.base import AnyEndpoint
from rerankd.dialects.json_mend import LoneSurrogate, mended
from rerankd.dialects.registry import SERVED
from rerankd.dialects.wire import Options, WireRequest
from tests.kit.support import running

every = pytest.mark.parametrize("dialect", SERVED.served, ids=lambda found: found.name)
# Servers that read bodies with pydantic, which takes digits for a number, 1 and "yes" for true.
AS_PYDANTIC = {"infinity", "xinference", "vllm", "vllm-score", "litellm", "jina", "mixedbread",
               "zeroentropy", "superset", "gateway", "explain", "jina-embeddings"}  # fmt: skip

OURS = {"superset", "gateway", "explain"}  # take digits, and true and false alone


def integers(dialect: AnyEndpoint) -> list[Leaf]:
    return [leaf for leaf in leaves(dialect.body) if _is_integer(leaf.kind)]


def _is_integer(kind: inspect.Type) -> bool:
    if isinstance(kind, inspect.Metadata):
        return _is_integer(kind.type)
    if isinstance(kind, inspect.UnionType):
        return any(_is_integer(option) for option in kind.types)
    return isinstance(kind, inspect.IntType)


def booleans(dialect: AnyEndpoint) -> list[Leaf]:
    return [leaf for leaf in leaves(dialect.body) if _is_boolean(leaf.kind)]


def _is_boolean(kind: inspect.Type) -> bool:
    if isinstance(kind, inspect.Metadata):
        return _is_boolean(kind.type)
    if isinstance(kind, inspect.UnionType):
        return any(_is_boolean(option) for option in kind.types)
    return isinstance(kind, inspect.BoolType)


def accepted(dialect: AnyEndpoint, leaf: Leaf) -> tuple[dict[str, Any], int]:
    """A right body with that integer, and the integer."""
    for found, _, body in variants(dialect.body):
        value: Any = body
        for key in leaf.path if found == leaf else ():
            value = value[key]
        if found == leaf and type(value) is int and planned(dialect, body) is not None:
            return body, value
    raise AssertionError(leaf.name)


@every
def test_whole_floats_are_integers_and_digits_where_the_server_takes_them(
    dialect: AnyEndpoint,
) -> None:
    for leaf in integers(dialect):
        body, value = accepted(dialect, leaf)
        as_integer = planned(dialect, body)
        assert planned(dialect, put(body, leaf.path, float(value))) == as_integer, leaf.name
        assert planned(dialect, put(body, leaf.path, value + 0.5)) is None, leaf.name
        for text in (str(value), f"{value}.0", f" {value} "):
            read = planned(dialect, put(body, leaf.path, text))
            assert read == (as_integer if dialect.name in AS_PYDANTIC else None), leaf.name
        assert planned(dialect, put(body, leaf.path, f"{value}x")) is None, leaf.name
        assert planned(dialect, put(body, leaf.path, True)) is None, leaf.name


@every
def test_a_boolean_is_read_as_the_server_reads_it(dialect: AnyEndpoint) -> None:
    (body, *_) = (body for _, body, _ in variants(dialect.body) if planned(dialect, body))
    for leaf in booleans(dialect):
        read = {value: planned(dialect, put(body, leaf.path, value)) for value in (True, False)}
        assert read[True] or read[False], leaf.name
        for value in (True, False):
            for also in (str(value), str(value).lower()):
                assert planned(dialect, put(body, leaf.path, also)) == read[value], leaf.name
            for also in (int(value), float(value), *WORDS[value]):
                found = planned(dialect, put(body, leaf.path, also))
                assert found == (read[value] if dialect.name in AS_PYDANTIC - OURS else None), (
                    leaf.name
                )
        wrongs: list[Any] = [2, 0.5, "x", "", "truee", [True], {}]
        for wrong in wrongs:
            assert planned(dialect, put(body, leaf.path, wrong)) is None, (leaf.name, wrong)


WORDS = {True: ("1", "on", "t", "y", "YES"), False: ("0", "OFF", "f", "n", "no")}


@pytest.mark.parametrize("name", ["superset", "gateway", "fireworks", "together"])
def test_a_number_that_is_mended_mends_no_boolean_beside_it(name: str) -> None:
    (dialect,) = (found for found in SERVED.served if found.name == name)
    sent: dict[str, Any] = {"model": "m", "query": "q", "documents": ["a"], "top_n": 1.0}
    assert planned(dialect, sent | {"return_documents": True}) is not None
    assert planned(dialect, sent | {"return_documents": 1}) is None


@every
def test_a_number_that_is_wrong_is_named_beside_one_that_was_mended(dialect: AnyEndpoint) -> None:
    found = integers(dialect)
    for leaf in found:
        body, value = accepted(dialect, leaf)
        raw = msgspec.json.encode(put(body, leaf.path, value + 0.5))
        with pytest.raises(InvalidRequest) as refused:
            dialect.parse_body(WireRequest(path="/x", body=raw, params={"model": "m"}), Options())
        assert leaf.name in str(refused.value)


@every
def test_no_model_an_empty_one_and_null_are_the_default(dialect: AnyEndpoint) -> None:
    named = [leaf for leaf in leaves(dialect.body) if leaf.name == "model"]
    for leaf in named:
        body = next(
            body
            for found, body, _ in variants(dialect.body)
            if found == leaf and planned(dialect, body) is not None
        )
        absent = planned(dialect, body)
        assert planned(dialect, put(body, leaf.path, "")) == absent
        assert planned(dialect, put(body, leaf.path, None)) == absent
        assert planned(dialect, put(body, leaf.path, "m2")) != absent


LONE = [r"\ud83d", r"\ude00", r"\ud83dx", r"\ude00\ud83d"]


@every
@pytest.mark.parametrize("half", LONE)
async def test_half_a_character_is_read_as_the_replacement_character(
    dialect: AnyEndpoint, half: str
) -> None:
    _, _, body = next(
        found
        for found in variants(dialect.body)
        if len(planned(dialect, found[2]) or ()) == 1
        and '"a"' in str(msgspec.json.encode(found[2]))
    )
    raw = msgspec.json.encode(body)
    cut = raw.replace(b'"a"', b'"a' + half.encode() + b'"')
    whole = raw.replace(b'"a"', msgspec.json.encode("a" + _read(half)))
    path = (dialect.own_paths() or dialect.marks[0].paths)[0].format(model="m")
    async with running(aliases={"m": "fake-model", "a": "fake-model"}) as (client, _):
        as_read = await client.post(path, content=whole)
        answer = await client.post(path, content=cut)
    assert (answer.status_code, as_read.status_code) == (200, 200)
    assert "U+FFFD" in answer.headers["x-rerankd-warnings"]
    assert "x-rerankd-warnings" not in as_read.headers


def _read(half: str) -> str:
    return "".join("\ufffd" if part in ("ud83d", "ude00") else part[5:] and "\ufffd" + part[5:]
                   for part in half.split("\\")[1:])  # fmt: skip


async def test_the_warning_names_the_document_and_the_others_are_scored_as_ever() -> None:
    raw = (
        rb'{"query":"q","documents":["a","b\ud83d",{"text":"c\ude00","id":"\ud83d"},'
        rb'"\ud83d\ude00"]}'
    )
    right = (
        '{"query":"q","documents":["a","b\ufffd",{"text":"c\ufffd","id":"\ufffd"},"\U0001f600"]}'
    )
    async with running() as (client, _):
        answer = (await client.post("/v1/rerank", content=raw)).json()
        as_read = (await client.post("/v1/rerank", content=right.encode())).json()
    (warning,) = answer["meta"].pop("warnings")
    assert warning.startswith("documents[1], documents[2].text, documents[2].id: half of")
    assert answer["results"] == as_read["results"]


def test_bytes_that_are_half_a_character_count_too_and_other_bytes_do_not() -> None:
    fixed, warning = mended(b'["a", "\xed\xa0\xbd", {"k": [1.5, "x"]}]')
    assert msgspec.json.decode(fixed) == ["a", "\ufffd\ufffd\ufffd"[:1], {"k": [1.5, "x"]}]
    assert warning.startswith("[1]: half of")
    for raw, says in (
        (b'["\xff\\ud83d"]', "not UTF-8"),
        (rb'["\ud83d"', "not valid JSON"),
        (rb'["\ud83d", NaN]', "not valid JSON"),
        (rb'["\ud83d", 1e999]', "not valid JSON"),
        (b"[" * 500 + rb'"\ud83d"' + b"]" * 500, "nested too deep"),
        (b"[" * 100_000, "nested too deep"),
    ):
        with pytest.raises(InvalidRequest, match=says):
            mended(raw)


def test_a_body_that_is_wrong_elsewhere_is_refused_with_what_is_wrong() -> None:
    wire = WireRequest(path="/x", body=rb'{"query":"\ud83d","documents":["a"]}')
    with pytest.raises(LoneSurrogate):
        SERVED.root.parse_body(wire, Options())
    with pytest.raises(InvalidRequest, match="not valid JSON") as refused:
        SERVED.root.parse_body(WireRequest(path="/x", body=b'{"query":'), Options())
    assert type(refused.value) is InvalidRequest


@pytest.mark.parametrize("kwargs", ["[" * 5000, '{"a":' * 5000, '{"x": "\\ud83d"}', "[]", "nul"])
async def test_json_in_a_string_is_read_with_the_same_care(kwargs: str) -> None:
    posted = {"query": "q", "documents": ["a"], "kwargs": kwargs}
    async with running() as (client, _):
        answer = await client.post("/xinference/v1/rerank", json=posted)
    assert answer.status_code == 400
    assert answer.json()["detail"].startswith("kwargs: ")


async def test_json_in_a_string_counts_its_values() -> None:
    posted = {"query": "q", "documents": ["a"], "kwargs": '{"a": [' + "0," * 60 + "0]}"}
    async with running({"limits": {"json_values": 50}}) as (client, _):
        answer = await client.post("/xinference/v1/rerank", json=posted)
        assert (answer.status_code, "json_values" in answer.text) == (400, True)


@pytest.mark.timeout(60)
def test_floats_of_many_digits_cost_no_more_than_others() -> None:
    """250 000 of them took more than 2 s before; a hundred times that ends this test."""
    literal = b"1.7976931348623157e308,"
    for _ in range(30):
        raw = b'{"query":"q","documents":[{"text":"a","k":[' + literal * 100_000 + b"0]}]}"
        SERVED.root.parse_body(WireRequest(path="/x", body=raw), Options())


@every
@pytest.mark.parametrize(
    "sent", ["sk-all-0123456789", "Bearer sk-all-0123456789", "bearer  sk-all-0123456789"]
)
def test_a_key_may_come_bare(dialect: AnyEndpoint, sent: str) -> None:
    assert dialect.presented_key({"authorization": sent}) == b"sk-all-0123456789"


@every
@pytest.mark.parametrize(
    "sent", ["", " ", "Bearer", "Bearer ", "Basic c2stYWxs", "basic", "Token x y"]
)
def test_other_schemes_are_no_keys(dialect: AnyEndpoint, sent: str) -> None:
    assert dialect.presented_key({"authorization": sent}) is None
