"""Measure ranking quality on test collections: nDCG@10 of what ships inside against simple orders.

    python bench/quality.py DIR [--write docs/quality.md]

DIR holds one folder per collection, in the form that rerankd.evals reads.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean

import numpy as np

from rerankd.core.types import Content, RerankRequest, Row
from rerankd.engines.late_interaction import FEATURES, LateInteractionEngine
from rerankd.engines.lexical import WORD, LexicalEngine, Weights
from rerankd.evals import Collection, Ranker, mean_ndcg, read_collection
from rerankd.models.base import Model
from rerankd.models.lexical import LexicalModel
from rerankd.models.mini import load_mini
from rerankd.models.segment import term_id

SEEDS = range(5)
COLUMNS = (
    "random",
    "input order",
    "whitespace BM25",
    "whitespace BM25, ties by chance",
    "rerankd-lexical",
    "cosine",
    "MaxSim",
    "rerankd-mini",
)
NOTES = """
- nDCG@10 in percent (linear gain, as trec_eval's `ndcg_cut_10`), every query with a relevant
  document, reranking the first stage's candidates.
- random: mean of {seeds} seeded shuffles. input order: the candidates as the first stage (BM25 with
  the collection's own IDF, which a reranker may not use) found them.
- Candidates are given in the input order and ties keep it, as the product answers. A scorer that
  finds nothing therefore measures as the input order: whitespace BM25 does on Chinese and Japanese,
  where rerankd-lexical is above it on two sets and below it on two, jsquad-valid-ja and xquad-zh.
  With ties decided by chance (seeded), the same whitespace BM25 shows what it knows of them.
- whitespace BM25: lowercase, split at spaces, the same IDF table, k1 = {k1}, b = {b}.
- cosine, MaxSim: two of rerankd-mini's features alone, of the same int8 vectors: the mean-pooled
  vectors of all-MiniLM-L6-v2, and its token vectors, every query token alike.
- Constants of rerankd-mini: the mixture's ratios (two to three numbers for each of three classes of
  queries) and the two gates were chosen on these sets; slopes and intercepts on training pairs.
- Constants of rerankd-lexical were chosen on these sets: the IDF source for code after a bad result
  on cosqa-dev-code, those of bigrams and characters on the Chinese and Japanese sets, the rest on
  all. Expect less of both on other sets.
"""


def shuffled(seed: int) -> Ranker:
    """A ranker that gives every list the order of a seeded generator."""
    draw = random.Random(seed)

    def rank(_: str, documents: Sequence[str]) -> Sequence[float]:
        return [draw.random() for _ in documents]

    return rank


def first_stage(_: str, documents: Sequence[str]) -> Sequence[float]:
    """The order in which the candidates came."""
    return [float(-i) for i in range(len(documents))]


def whitespace(engine: LexicalEngine) -> Ranker:
    """Plain BM25 over lowercase tokens between spaces."""

    def ids(text: str) -> list[int]:
        return [term_id(WORD, token) for token in text.lower().split()]

    def rank(query: str, documents: Sequence[str]) -> Sequence[float]:
        terms = ids(query)
        rows = [
            Row(ids=np.array(terms + ids(d) or [0], np.int32), second=len(terms)) for d in documents
        ]
        return [float(x) for x in engine.forward(rows)[:, 0]]

    return rank


def ties_by_chance(ranker: Ranker) -> Ranker:
    """The same scores, but equal ones in seeded random order instead of input order."""
    draw = random.Random(0)

    def rank(query: str, documents: Sequence[str]) -> Sequence[float]:
        return [score + 1e-9 * draw.random() for score in ranker(query, documents)]

    return rank


def feature(model: Model, name: str) -> Ranker:
    """One feature of a late-interaction model alone."""
    column = FEATURES.index(name)
    engine = model.engine
    if not isinstance(engine, LateInteractionEngine):
        raise TypeError("a late-interaction model is needed")

    def rank(query: str, documents: Sequence[str]) -> Sequence[float]:
        [(_, _, found)] = engine.features(rows(model, query, documents))
        return [float(x) for x in found[:, column]]

    return rank


def rows(model: Model, query: str, documents: Sequence[str]) -> Sequence[Row]:
    """What the server makes of a request: one row per document."""
    contents = tuple(Content(value=text) for text in documents)
    return model.prepare(RerankRequest(query=Content(value=query), documents=contents)).rows


def model_ranker(model: Model) -> Ranker:
    """What the server does: prepare, forward, logit; one row per document."""

    def rank(query: str, documents: Sequence[str]) -> Sequence[float]:
        logits = model.engine.forward(rows(model, query, documents))
        return [float(x) for x in model.logit(logits)]

    return rank


def measure(collection: Collection, rankers: Sequence[Ranker]) -> list[float]:
    """[random, input order, *rankers] for one collection, in percent."""
    chance = fmean(mean_ndcg(collection, shuffled(seed)) for seed in SEEDS)
    given = mean_ndcg(collection, first_stage)
    return [100 * chance, 100 * given, *(100 * mean_ndcg(collection, rank) for rank in rankers)]


def table(found: dict[str, list[float]], show: Callable[[float], str] = "{:.1f}".format) -> str:
    """A Markdown table with a mean row."""
    lines = ["| set | " + " | ".join(COLUMNS) + " |", "|---" * (len(COLUMNS) + 1) + "|"]
    means = [fmean(column) for column in zip(*found.values(), strict=True)]
    for name, values in [*found.items(), ("mean", means)]:
        lines.append(f"| {name} | " + " | ".join(map(show, values)) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure every collection, print the table, write the page when asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--write", type=Path)
    args = parser.parse_args()
    plain = Weights(coverage=0.0, phrase=0.0, average_terms=150.0)
    baseline = whitespace(LexicalEngine(weights=plain))
    mini = load_mini()
    rankers = (
        baseline,
        ties_by_chance(baseline),
        model_ranker(LexicalModel()),
        feature(mini, "cosine"),
        feature(mini, "maxsim"),
        model_ranker(mini),
    )
    found: dict[str, list[float]] = {}
    for folder in sorted(path for path in args.folder.iterdir() if path.is_dir()):
        found[folder.name] = measure(read_collection(folder), rankers)
        print(folder.name, *(f"{value:.1f}" for value in found[folder.name]), file=sys.stderr)
    page = table(found)
    print(page)
    if args.write:
        command = f"python bench/quality.py DIR --write {args.write}"
        notes = NOTES.format(seeds=len(SEEDS), k1=plain.k1, b=plain.b)
        args.write.parent.mkdir(parents=True, exist_ok=True)
        args.write.write_text(
            f"# Quality\n\nMade by `{command}`; do not edit.\n\n{page}{notes}", "utf-8"
        )


if __name__ == "__main__":
    main()
