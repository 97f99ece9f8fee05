"""Does this tokenizer give the ids that the library `tokenizers` gives? Tried before it is used.

Of XLM-R's vocabulary the library's ids of hard texts are recorded, so that it need not be loaded.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

import msgspec

from rerankd.models.unigram_tokenizer import UnigramTokenizer

if TYPE_CHECKING:
    from tokenizers import Tokenizer


class Recorded(msgspec.Struct):
    """What the library made of a text."""

    text: str
    ids: list[int]
    by_words: bool = False  # where a text is not split at white space it has others


@cache
def recorded() -> tuple[Recorded, ...]:
    """Hard texts in many languages, with their ids in XLM-R's vocabulary."""
    data = resources.files("rerankd.builtin").joinpath("xlm-roberta-ids.json").read_bytes()
    return msgspec.json.decode(data, type=tuple[Recorded, ...])


def gives_known_ids(tokenizer: UnigramTokenizer) -> bool:
    """Whether it is XLM-R's, and right."""
    some = [each for each in recorded() if tokenizer.form.by_words or not each.by_words]
    found = tokenizer.encode_batch_fast([each.text for each in some])
    return all(one.ids.tolist() == other.ids for one, other in zip(found, some, strict=True))


def agrees(tokenizer: UnigramTokenizer, library: Tokenizer) -> bool:
    """Whether it gives the library's ids and places, of any vocabulary."""
    texts = [each.text for each in recorded()]
    found = tokenizer.encode_batch(texts)
    wanted = library.encode_batch(texts, add_special_tokens=False)
    return all(
        one.ids.tolist() == other.ids and one.offsets == other.offsets
        for one, other in zip(found, wanted, strict=True)
    )
