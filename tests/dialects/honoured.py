"""What each field of a dialect's body does here, found by sending it."""

from __future__ import annotations

from typing import Any

import msgspec
from shapes import leaves, variants

from rerankd.core.embedding import EmbedRequest
from rerankd.core.errors import InvalidRequest
from rerankd.core.request import RerankRequest
from rerankd.dialects.base import AnyEndpoint, ParsedTexts
from rerankd.dialects.wire import Options, WireRequest

HONOURED, REFUSED, READ = "honoured", "refused", "read"


Plan = tuple[RerankRequest, ...] | tuple[tuple[EmbedRequest, int]]


def planned(dialect: AnyEndpoint, body: dict[str, Any]) -> Plan | None:
    """What a body asks for, with the form of vectors; None when it is refused."""
    wire = WireRequest(path="/x", body=msgspec.json.encode(body), params={"model": "m"})
    try:
        parsed = dialect.parse_body(wire, Options())
    except InvalidRequest:
        return None
    if isinstance(parsed, ParsedTexts):
        return ((parsed.request, parsed.number_bytes),)
    return parsed.requests


def effects(dialect: AnyEndpoint) -> dict[str, str]:
    """Every field of the body, in its order: what happens when it is sent.

    HONOURED: some value changes what is ranked, or how. REFUSED: none does, and some are errors,
    so that nothing is dropped in silence. READ: it never does anything.
    """
    found = {leaf.name: READ for leaf in leaves(dialect.body)}
    for leaf, body, changed in variants(dialect.body):
        before = planned(dialect, body)
        if before is None:  # two rows that do not go together
            continue
        after = planned(dialect, changed)
        if after is None:
            found[leaf.name] = REFUSED if found[leaf.name] == READ else found[leaf.name]
        elif after != before:
            found[leaf.name] = HONOURED
    return found
