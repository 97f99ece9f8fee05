"""Does any text of the dev sets stand in the training pairs? Exits with 1 if so.

    python training/check_overlap.py --train DIR --dev DIR [--sets NAME ...]

It reads what the build reads: passages of common.EXCLUDED are left out of both.

Texts are compared by their letters and digits alone, case and width folded. A dev query overlaps
when it is a training query, whole. A dev document overlaps when BLOCK characters of it, cut on a
grid, stand anywhere in a training passage or query: about ten words, or two Chinese sentences.
"""

from __future__ import annotations

import argparse
import sys
import unicodedata
from collections import Counter
from pathlib import Path

import numpy as np
import numpy.typing as npt
import regex
from common import digest, read_pairs

from rerankd.measure.collection import read_collection

BLOCK = 60
_OTHER = regex.compile(r"[^\p{L}\p{N}]+")
_BASE = np.uint64(0x9E3779B97F4A7C15)
Hashes = npt.NDArray[np.uint64]


def folded(text: str) -> str:
    """Letters and digits only."""
    return _OTHER.sub("", unicodedata.normalize("NFKC", text).casefold())


def window_hashes(text: str) -> Hashes:
    """A polynomial hash of every BLOCK characters of a folded text."""
    codes = np.frombuffer(text.encode("utf-32-le"), np.uint32).astype(np.uint64)
    count = codes.size - BLOCK + 1
    if count <= 0:
        return np.zeros(0, np.uint64)
    out = np.zeros(count, np.uint64)
    for at in range(BLOCK):
        out = out * _BASE + codes[at : at + count]
    return out


def main() -> int:
    """Compare every dev set with every training set, print what overlaps."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--train", type=Path, required=True)
    parser.add_argument("--dev", type=Path, required=True)
    parser.add_argument("--sets", nargs="*", help="training sets; default: all in the folder")
    args = parser.parse_args()
    queries: dict[str, str] = {}
    blocks: dict[int, tuple[str, str]] = {}
    for folder in sorted(path for path in args.dev.iterdir() if path.is_dir()):
        collection = read_collection(folder)
        queries |= {folded(text): folder.name for text in collection.queries.values()}
        for name, document in collection.documents.items():
            grid = window_hashes(folded(document))[::BLOCK]
            blocks.update(dict.fromkeys(grid.tolist(), (folder.name, name)))
    known = np.sort(np.fromiter(blocks, np.uint64, len(blocks)))
    overlap = 0
    for name in args.sets or sorted(file.parent.name for file in args.train.glob("*/pairs.*")):
        pairs = read_pairs(args.train / name)
        asked = {folded(pair.query) for pair in pairs}
        same = Counter(queries[query] for query in asked & queries.keys())
        held: Counter[str] = Counter()
        texts = asked | {folded(pair.positive) for pair in pairs}
        hashes = window_hashes("\0".join(sorted(texts)))
        at = np.minimum(np.searchsorted(known, hashes), known.size - 1)
        found = {blocks[h] for h in np.unique(hashes[known[at] == hashes]).tolist()}
        held.update(dev for dev, _ in found)
        overlap += same.total() + held.total()
        for passage in sorted({pair.positive for pair in pairs}) if found else ():
            if np.isin(window_hashes(folded(passage)), known).any():
                print(f"{name}: overlaps: {digest(passage)}")
        print(f"{name}: {len(pairs)} pairs; dev queries {dict(same)}; dev documents {dict(held)}")
    print(f"{len(queries)} dev queries, {len(blocks)} blocks of dev documents; overlaps: {overlap}")
    return 1 if overlap else 0


if __name__ == "__main__":
    sys.exit(main())
