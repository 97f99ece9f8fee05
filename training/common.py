"""What the scripts share: training pairs, and the calibration of a score on them.

Pairs are read without what stands in a development set too.
"""

from __future__ import annotations

import gzip
import hashlib
import random
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

HARD, RANDOM = 3, 3  # passages that do not belong to a query, of each kind
Floats = npt.NDArray[np.float64]

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


def contrasted(
    pairs: Sequence[Pair], queries: int, score: Callable[[str], Floats], draw: random.Random
) -> tuple[Floats, Floats]:
    """(scores of the relevant, scores of the others) of one set.

    For each of the first `queries` pairs: its own passage, against the HARD passages of the set
    that score highest, and RANDOM others.

    Args:
        pairs: of the set.
        queries: how many of them are asked.
        score: a query -> scores of passages(pairs), in their order.
        draw: chooses the random ones.
    """
    place = {text: i for i, text in enumerate(passages(pairs))}
    relevant: list[float] = []
    others: list[float] = []
    for pair in pairs[:queries]:
        values = score(pair.query)
        own = place[pair.positive]
        relevant.append(float(values[own]))
        ranked = [i for i in np.argsort(-values, kind="stable").tolist() if i != own]
        others.extend(float(values[i]) for i in ranked[:HARD] + draw.sample(ranked, RANDOM))
    return np.array(relevant), np.array(others)


def passages(pairs: Sequence[Pair]) -> list[str]:
    """Each passage once, in order."""
    return list(dict.fromkeys(pair.positive for pair in pairs))


class Calibration:
    """Slope and intercept that make a score a probability, from sets that weigh the same.

    Within a set relevant and not relevant weigh the same, too.
    """

    def __init__(self) -> None:
        self._x: list[Floats] = []
        self._y: list[Floats] = []
        self._weight: list[Floats] = []

    def add(self, name: str, relevant: Floats, others: Floats) -> None:
        """One set; prints where its scores lie."""
        print(f"{name:16s} relevant {np.median(relevant):.2f} others {np.median(others):.2f}")
        for values, label in ((relevant, 1.0), (others, 0.0)):
            self._x.append(values)
            self._y.append(np.full(values.size, label))
            self._weight.append(np.full(values.size, 1.0 / values.size))

    def fit(self) -> tuple[float, float]:
        """(slope, intercept) of the weighted logistic regression, by Newton's method."""
        x, y, weight = (np.concatenate(part) for part in (self._x, self._y, self._weight))
        design = np.stack((x, np.ones_like(x)), axis=1)
        theta = np.zeros(2)
        for _ in range(50):
            p = 1.0 / (1.0 + np.exp(-design @ theta))
            gradient = design.T @ (weight * (y - p))
            hessian = (design * (weight * p * (1.0 - p))[:, None]).T @ design
            theta += np.linalg.solve(hessian, gradient)
        return float(theta[0]), float(theta[1])
