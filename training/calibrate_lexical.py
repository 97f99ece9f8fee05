"""Fit SLOPE and INTERCEPT of rerankd.models.lexical on training pairs.

    python training/calibrate_lexical.py DIR      (DIR: a folder of <name>/pairs.jsonl.gz)

For every query of a set's sample: its own passage against the three passages of the sample that
score highest, and three random ones. Relevant and not relevant weigh the same, so do all sets.
The same input prints the same numbers.
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pairs import read_pairs

from rerankd.engines.lexical import IdfTable, Weights, features
from rerankd.models.segment import Segmenter

# Questions with a passage that answers them; weak pairs (glosses, commands, intents) are left out.
SETS = (
    "cmrc2018-trial",
    "covidqa",
    "drcd-dev",
    "iapp-th-train",
    "jaquad-train",
    "jsquad-test",
    "medquad",
    "powershell-docs",
    "qed-nq",
    "squad-sent-dev",
    "squad-sent-test",
)
POOL, QUERIES, HARD, RANDOM = 600, 200, 3, 3
Floats = npt.NDArray[np.float64]


def scores(
    folder: Path, segmenter: Segmenter, table: IdfTable, weights: Weights
) -> tuple[Floats, Floats]:
    """(scores of the relevant, scores of the others) of one set."""
    draw = random.Random(7)
    held = read_pairs(folder)
    pairs = draw.sample(held, min(POOL, len(held)))
    texts = list(dict.fromkeys(pair.positive for pair in pairs))
    place = {text: i for i, text in enumerate(texts)}
    documents = [segmenter.ids(text) for text in texts]
    mix = np.array([1.0, weights.coverage, weights.phrase])
    relevant: list[float] = []
    others: list[float] = []
    for pair in pairs[:QUERIES]:
        values = features(segmenter.ids(pair.query), documents, table, weights) @ mix
        own = place[pair.positive]
        relevant.append(float(values[own]))
        ranked = [i for i in np.argsort(-values, kind="stable").tolist() if i != own]
        others.extend(float(values[i]) for i in ranked[:HARD] + draw.sample(ranked, RANDOM))
    return np.array(relevant), np.array(others)


def fit(x: Floats, y: Floats, weight: Floats) -> tuple[float, float]:
    """(slope, intercept) of the weighted logistic regression y ~ x, by Newton's method."""
    design = np.stack((x, np.ones_like(x)), axis=1)
    theta = np.zeros(2)
    for _ in range(50):
        p = 1.0 / (1.0 + np.exp(-design @ theta))
        gradient = design.T @ (weight * (y - p))
        hessian = (design * (weight * p * (1.0 - p))[:, None]).T @ design
        theta += np.linalg.solve(hessian, gradient)
    return float(theta[0]), float(theta[1])


def main() -> None:
    """Collect, fit, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("train", type=Path)
    folder: Path = parser.parse_args().train
    segmenter, table, weights = Segmenter(), IdfTable.shipped(), Weights()
    x: list[Floats] = []
    y: list[Floats] = []
    w: list[Floats] = []
    for name in SETS:
        relevant, others = scores(folder / name, segmenter, table, weights)
        print(f"{name:16s} relevant {np.median(relevant):.2f} others {np.median(others):.2f}")
        for values, label in ((relevant, 1.0), (others, 0.0)):
            x.append(values)
            y.append(np.full(values.size, label))
            w.append(np.full(values.size, 1.0 / values.size))
    slope, intercept = fit(np.concatenate(x), np.concatenate(y), np.concatenate(w))
    print(f"SLOPE: Final = {slope:.2f}\nINTERCEPT: Final = {intercept:.2f}")


if __name__ == "__main__":
    main()
