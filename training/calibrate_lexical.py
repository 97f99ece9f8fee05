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
from common import Calibration, Floats, contrasted, passages, read_pairs

from rerankd.engines.lexical import IdfTable, LexicalWeights, features
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
POOL, QUERIES = 600, 200


def scores(
    folder: Path, segmenter: Segmenter, table: IdfTable, weights: LexicalWeights
) -> tuple[Floats, Floats]:
    """(scores of the relevant, scores of the others) of one set."""
    draw = random.Random(7)
    held = read_pairs(folder)
    pairs = draw.sample(held, min(POOL, len(held)))
    documents = [segmenter.ids(text) for text in passages(pairs)]
    mix = np.array([1.0, weights.coverage, weights.phrase])

    def score(query: str) -> Floats:
        return features(segmenter.ids(query), documents, table, weights) @ mix

    return contrasted(pairs, QUERIES, score, draw)


def main() -> None:
    """Collect, fit, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("train", type=Path)
    folder: Path = parser.parse_args().train
    segmenter, table, weights = Segmenter(), IdfTable.shipped(), LexicalWeights()
    calibration = Calibration()
    for name in SETS:
        calibration.add(name, *scores(folder / name, segmenter, table, weights))
    slope, intercept = calibration.fit()
    print(f"SLOPE: Final = {slope:.2f}\nINTERCEPT: Final = {intercept:.2f}")


if __name__ == "__main__":
    main()
