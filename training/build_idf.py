r"""Build src/rerankd/builtin/lexical/idf.npz, the IDF table of rerankd-lexical.

    python training/build_idf.py --wordfreq DIR --train DIR --code DIR \
        --out src/rerankd/builtin/lexical/idf.npz

--wordfreq: the `data` folder of the PyPI package wordfreq 3.1.1 (data: CC BY-SA 4.0).
--train: a folder of <name>/pairs.jsonl.gz: UNSPACED for bigrams and characters, passages and
  questions; TECHNICAL for the words that technical text repeats.
--code: the standard library of CPython 3.11 (PSF licence): the words that program text repeats.
Only counts leave this script. The same input gives the same bytes.
"""

from __future__ import annotations

import argparse
import gzip
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
from common import read_pairs

from rerankd.engines.lexical import BIGRAM, CHANNEL_BITS, CHARACTER, STEM, WORD
from rerankd.models.segment import Segmenter

PASSAGE_WORDS = 150  # p -> share of passages of this length that contain the word
PASSAGE_CHARACTERS = 250
TECHNICAL = ("powershell-docs", "tldr-en")
DOMAIN_SHARE = 0.5  # a word common in code or manuals counts as half as common everywhere
UNSPACED_LANGUAGES = ("zh", "ja")
UNSPACED = (  # one language each; Traditional and simplified Chinese are counted together
    ("drcd-dev", "cmrc2018-trial"),
    ("jaquad-train", "jsquad-test"),
    ("iapp-th-train",),
)
# Rarer terms get the default. Words and stems: share of the terms; the others: of the passages.
LEAST = {WORD: 1e-5, STEM: 4.5e-6, BIGRAM: 2e-3, CHARACTER: 2e-3}
# p of a term that is in no list. A word: below the least that is listed, above a typo's. A bigram:
# the least that is listed, as a rare one mostly spans two words by accident.
UNSEEN = {WORD: 2e-6, STEM: 1e-6, BIGRAM: 2e-3, CHARACTER: 2e-3, 4: 1.0}


def word_lists(folder: Path) -> Iterator[tuple[str, list[tuple[str, float]]]]:
    """(language, [(word, probability)]) of every list of wordfreq, from its centibel buckets."""
    for file in sorted(folder.glob("small_*.msgpack.gz")):
        buckets: list[list[str]] = msgspec.msgpack.decode(gzip.decompress(file.read_bytes()))[1:]
        words = [(w, 10.0 ** (-i / 100)) for i, bucket in enumerate(buckets) for w in bucket]
        yield file.name[len("small_") :].split(".")[0], words


def read(folder: Path, names: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """(questions, passages) of some sets: each text once, in a fixed order."""
    pairs = [pair for name in names for pair in read_pairs(folder / name)]
    return list(dict.fromkeys(p.query for p in pairs)), list(
        dict.fromkeys(p.positive for p in pairs)
    )


def source_files(folder: Path) -> list[str]:
    """The text of every .py file, without tests and installed packages."""
    files = (f for f in folder.rglob("*.py") if not {"test", "tests", "site-packages"} & {*f.parts})
    return [file.read_text(encoding="utf-8", errors="ignore") for file in sorted(files)]


def word_probabilities(folder: Path, segmenter: Segmenter) -> dict[int, float]:
    """term id -> its probability in the language where it is most frequent."""
    most: dict[int, float] = {}
    for language, words in word_lists(folder):
        here: defaultdict[int, float] = defaultdict(float)
        for word, p in words:
            for term in set(segmenter.ids(word).tolist()):
                if language in UNSPACED_LANGUAGES and term >> CHANNEL_BITS in (BIGRAM, CHARACTER):
                    here[term] = max(
                        here[term], p / 3.4
                    )  # ~1.7 characters a word; half stay inside
                elif language not in UNSPACED_LANGUAGES:
                    here[term] += p
        for term, p in here.items():
            most[term] = max(most.get(term, 0.0), p)
    return most


def shares(texts: list[str], channels: tuple[int, ...], segmenter: Segmenter) -> dict[int, float]:
    """term id -> its share of its channel's terms in the texts; terms seen once are left out."""
    counts: dict[int, Counter[int]] = {channel: Counter() for channel in channels}
    for text in texts:
        for term in segmenter.ids(text).tolist():
            if term >> CHANNEL_BITS in counts:
                counts[term >> CHANNEL_BITS][term] += 1
    share: dict[int, float] = {}
    for counter in counts.values():
        total = counter.total()
        share.update((term, count / total) for term, count in counter.items() if count > 1)
    return share


def gram_shares(
    folder: Path, words: dict[int, float], segmenter: Segmenter
) -> Iterator[tuple[int, float]]:
    """(bigram or character, share of texts that hold it), from word lists, passages and questions.

    What many questions hold ("什么", "ですか") says as little as what many passages hold.
    """
    for term, p in words.items():
        if term >> CHANNEL_BITS in (BIGRAM, CHARACTER):
            yield term, -float(np.expm1(-p * PASSAGE_CHARACTERS))
    for names in UNSPACED:
        questions, passages = read(folder, names)
        for texts, least in ((passages, 2), (questions, 3)):
            held: Counter[int] = Counter()
            for text in texts:
                held.update(set(segmenter.ids(text).tolist()))
            for term, count in held.items():
                if count >= least and term >> CHANNEL_BITS in (BIGRAM, CHARACTER):
                    yield term, count / len(texts)


def idf(p: float, channel: int) -> int:
    """-ln(share of passages that hold the term), in 1/16 nat.

    The p of a word or stem is its share of the terms: 1 - exp(-p PASSAGE_WORDS) of the passages
    hold it.
    At least 1, so that a query of nothing but common words still finds them.
    """
    share = -float(np.expm1(-p * PASSAGE_WORDS)) if channel in (WORD, STEM) else p
    return min(255, max(1, round(-16.0 * float(np.log(share)))))


def main() -> None:
    """Read the lists, count, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--wordfreq", type=Path, required=True)
    parser.add_argument("--train", type=Path, required=True)
    parser.add_argument("--code", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    segmenter = Segmenter()
    words = word_probabilities(args.wordfreq, segmenter)
    probability = {t: p for t, p in words.items() if t >> CHANNEL_BITS in (WORD, STEM)}
    for texts in (read(args.train, TECHNICAL)[1], source_files(args.code)):
        for term, p in shares(texts, (WORD, STEM), segmenter).items():
            probability[term] = max(probability.get(term, 0.0), DOMAIN_SHARE * p)
    for term, p in gram_shares(args.train, words, segmenter):
        probability[term] = max(probability.get(term, 0.0), p)
    kept = sorted(
        (term, idf(p, term >> CHANNEL_BITS))
        for term, p in probability.items()
        if p >= LEAST[term >> CHANNEL_BITS]
    )
    default = [idf(UNSEEN[channel], channel) for channel in range(5)]
    np.savez(
        args.out,
        ids=np.array([term for term, _ in kept], np.uint32),
        idf=np.array([value for _, value in kept], np.uint8),
        default=np.array([*default, 0, 0, 0, *([0] * 8)], np.uint8),
    )
    per_channel = Counter(term >> CHANNEL_BITS for term, _ in kept)
    print(f"{args.out}: {len(kept)} terms {dict(per_channel)}, {args.out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
