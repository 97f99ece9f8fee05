"""Pages are easy to read: short sentences, and none that must be read twice for its length."""

from __future__ import annotations

from pathlib import Path

import pytest
from reading import PAGES, ROOT, sentences, words

MEAN = 20  # words a sentence, of a page's prose
LONGEST = 35
SENTENCE = 4  # words from which on it is one, and no heading


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_sentences_are_short(page: Path) -> None:
    long = [sentence for sentence in sentences(page) if len(words(sentence)) > LONGEST]
    assert not long, "\n".join(long)
    lengths = [len(words(sentence)) for sentence in sentences(page, tables=False)]
    lengths = [length for length in lengths if length >= SENTENCE]
    assert not lengths or sum(lengths) / len(lengths) <= MEAN
