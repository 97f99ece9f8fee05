"""What the OpenAPI document says of lengths and ranges is what the server holds."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from honoured import planned
from shapes import Leaf, leaves, put, variants, violations

from rerankd.core.errors import InvalidRequest
from rerankd.dialects.base import AnyEndpoint, Dialect
from rerankd.dialects.registry import SERVED
from rerankd.dialects.wire import Options, WireRequest

CASES = [
    (dialect, leaf, value)
    for dialect in SERVED.served
    for leaf in leaves(dialect.body)
    for value in violations(leaf.kind)
]
EMPTY_QUERY = {"infinity", "llamacpp", "xinference"}  # whose own servers rank by an empty one
LEAST = {"top_n": 0, "top_k": 0, "max_chunks_per_doc": 0, "overlap_tokens": -1}


def accepted(dialect: AnyEndpoint, leaf: Leaf) -> dict[str, Any]:
    """A body with that field that is right."""
    return next(
        changed
        for found, _, changed in variants(dialect.body)
        if found == leaf and planned(dialect, changed) is not None
    )


@pytest.mark.parametrize(
    ("dialect", "leaf", "value"),
    CASES,
    ids=[f"{dialect.name}-{leaf.name}-{value!r}" for dialect, leaf, value in CASES],
)
def test_what_the_document_excludes_is_refused_by_name(
    dialect: AnyEndpoint, leaf: Leaf, value: Any
) -> None:
    body = put(accepted(dialect, leaf), leaf.path, value)
    wire = WireRequest(path="/x", body=msgspec.json.encode(body), params={"model": "m"})
    with pytest.raises(InvalidRequest) as raised:
        dialect.parse_body(wire, Options())
    param = (raised.value.param or "").split("[")[0]
    assert param in (leaf.name, leaf.path[-1], leaf.path[0])


@pytest.mark.parametrize("dialect", SERVED.served, ids=lambda found: found.name)
def test_an_empty_query_and_no_documents_are_excluded(dialect: AnyEndpoint) -> None:
    excluded = {found.name: violations(found.kind) for found in leaves(dialect.body)}
    empty = [value for values in excluded.values() for value in values]
    assert [] in empty
    if isinstance(dialect, Dialect):
        if dialect.name in EMPTY_QUERY:
            assert "" not in excluded["query"]
        else:
            assert any("" in values or [""] in values for values in excluded.values())


@pytest.mark.parametrize("dialect", SERVED.served, ids=lambda found: found.name)
def test_ranges_that_are_held_are_in_the_document(dialect: AnyEndpoint) -> None:
    """A value below the least that a field of that name takes is excluded, not only refused."""
    for leaf in leaves(dialect.body):
        value = LEAST.get(leaf.path[-1])
        if value is None or planned(dialect, put(accepted(dialect, leaf), leaf.path, value)):
            continue
        assert value in violations(leaf.kind), leaf.name
