"""Training pairs as every script here reads them: without what stands in a development set too."""

from __future__ import annotations

import gzip
import hashlib
from pathlib import Path

import msgspec

# SHA-256 of passages that share text with a development document; check_overlap.py prints them.
EXCLUDED: frozenset[str] = frozenset(
    {"74d9c8d3a735cf523bd95eaebb3273cd161a62e4b7cdd712453ad3f0fd95e4e1"}  # drcd-dev: drcd-test-zhtw
)


class Pair(msgspec.Struct):
    """One training pair; other fields are ignored."""

    query: str
    positive: str


def digest(passage: str) -> str:
    """How EXCLUDED names a passage."""
    return hashlib.sha256(passage.encode()).hexdigest()


def read_pairs(folder: Path) -> list[Pair]:
    """All pairs of a set, pairs.jsonl.gz, in its order, but those of EXCLUDED passages."""
    decode = msgspec.json.Decoder(Pair).decode
    lines = gzip.decompress((folder / "pairs.jsonl.gz").read_bytes()).splitlines()
    pairs = [decode(line) for line in lines]
    return [pair for pair in pairs if digest(pair.positive) not in EXCLUDED]
