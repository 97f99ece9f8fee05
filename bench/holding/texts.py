"""Bodies as ready bytes: no two texts are equal, and making one costs some microseconds."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

_PAIRS = Path(__file__).parents[2] / "tests/reference/pairs.jsonl"
_PHRASE = 25  # words
_PHRASES = 4000


class Texts:
    """Seeded words of the tests' pairs, 100 a document."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        lines = _PAIRS.read_text(encoding="utf-8").splitlines()
        words = " ".join(json.loads(line)["document"] for line in lines).split()
        self.words = sorted({word for word in words if word.isascii() and word.isalpha()})
        made = [self._random.choices(self.words, k=_PHRASE) for _ in range(_PHRASES)]
        self._phrases = [" ".join(words).encode() for words in made]

    def document(self, words: int = 100) -> bytes:
        """A text of `words` words, a multiple of 25."""
        return b" ".join(self._random.choices(self._phrases, k=words // _PHRASE))

    def body(self, documents: int, words: int = 100) -> bytes:
        """A rerank request."""
        texts = b'","'.join(self.document(words) for _ in range(documents))
        query = " ".join(self._random.choices(self.words, k=8)).encode()
        return b'{"query":"' + query + b'","documents":["' + texts + b'"],"return_documents":false}'

    def short(self, documents: int) -> bytes:
        """A rerank request of short documents: 12 words each."""
        texts = [" ".join(self._random.choices(self.words, k=12)) for _ in range(documents)]
        return json.dumps({"query": "which of them", "documents": texts}).encode()


def one_document(text: str) -> bytes:
    """A request of one document."""
    return json.dumps({"query": "which of them", "documents": [text]}).encode()


def filled(piece: str, size: int) -> str:
    """`piece` again and again, up to `size` bytes of UTF-8."""
    return piece * (size // len(piece.encode()))


_4MB = 4_000_000


def _words(texts: Texts, size: int) -> str:
    return (texts.document(100).decode() + " ") * (size // 600)


# What stands beside the small request -> its body.
LONG: dict[str, Callable[[Texts], bytes]] = {
    "one document of 600 kB": lambda texts: one_document(_words(texts, 600_000)[:600_000]),
    "1 000 documents of 32 kB": lambda texts: json.dumps(
        {
            "query": "which of them",
            "documents": [f"{n} {_words(texts, 33_000)}"[:32_000] for n in range(1000)],
        }
    ).encode(),
    "4 MB of words": lambda texts: one_document(_words(texts, _4MB + 9000)[:_4MB]),
    "4 MB without a space": lambda _: one_document(filled("abcdefghij", _4MB)),
    "4 MB of a ligature (NFKC × 18)": lambda _: one_document(filled("\ufdfa", _4MB)),
    "4 MB of 1.1": lambda _: one_document(filled("1.1", _4MB)),
    "4 MB of combining marks": lambda _: one_document("a" + filled("\u0301\u0316", _4MB)),
    "4 MB of CJK": lambda _: one_document(filled("\u6771\u4eac\u90fd", _4MB)),
    "4 MB of emoji in sequences": lambda _: one_document(
        filled("\U0001f469\u200d\U0001f469\u200d\U0001f467", _4MB)
    ),
    "4 MB of spaces": lambda _: one_document(filled(" ", _4MB)),
    "4 MB of one letter a word": lambda _: one_document(filled("a ", _4MB)),
}
