"""Which special tokens stand around a single text, as the tokenizer itself says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rerankd.core.errors import StartError
from rerankd.core.rows import TokenIds
from rerankd.models.folder_file import failing_as
from rerankd.models.pair_template import MAX_SPECIALS
from rerankd.models.unigram_tokenizer import UnigramTokenizer

if TYPE_CHECKING:
    from rerankd.models.tokens import AnyTokenizer

_PROBE = "a document"


@dataclass(frozen=True, slots=True, eq=False)
class SingleTemplate:
    """prefix + text + suffix: `[CLS] text [SEP]`."""

    prefix: TokenIds
    suffix: TokenIds

    @property
    def specials(self) -> int:
        """Tokens of a row that are not the text's."""
        return self.prefix.size + self.suffix.size

    def ids(self, text: TokenIds) -> TokenIds:
        """A text's tokens, (L,), between the special ones."""
        return np.concatenate([self.prefix, text, self.suffix])


def single_template(tokenizer: AnyTokenizer) -> SingleTemplate:
    """Encode a tiny text with special tokens and read off what was put around it.

    Args:
        tokenizer: its truncation and padding are off.

    Raises:
        StartError: the post-processor does not keep the text whole, or what it puts around is no
            token of the vocabulary.
    """
    with failing_as("tokenizer.json: its post-processor fails: {}."):
        text, whole = _tried(tokenizer)
    size = len(text)
    places = [i for i in range(len(whole) - size + 1) if whole[i : i + size] == text]
    if not text or not places:
        raise StartError(
            "tokenizer.json: its post-processor does not keep a single text whole; this is no "
            "tokenizer of an encoder. Use the tokenizer.json of the model."
        )
    before, after = whole[: places[0]], whole[places[0] + size :]
    specials = [*before, *after]
    unknown = [each for each in specials if tokenizer.id_to_token(each) is None]
    if unknown or len(specials) > MAX_SPECIALS:
        raise StartError(
            f"tokenizer.json: its post-processor puts {len(specials)} special tokens around a text "
            f"(limit {MAX_SPECIALS}), {len(unknown)} of them not in the vocabulary. Use the "
            "tokenizer.json of the model."
        )
    return SingleTemplate(np.asarray(before, np.int32), np.asarray(after, np.int32))


def _tried(tokenizer: AnyTokenizer) -> tuple[list[int], list[int]]:
    """The ids of a tiny text, without and with special tokens."""
    if isinstance(tokenizer, UnigramTokenizer):
        text: list[int] = tokenizer.encode(_PROBE).ids.tolist()
        slots = tokenizer.form.single
        return text, [id_ for slot in slots for id_ in (text if slot.text else slot.ids)]
    plain = tokenizer.encode(_PROBE, add_special_tokens=False).ids
    return plain, tokenizer.encode(_PROBE, add_special_tokens=True).ids
