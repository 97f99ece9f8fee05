"""Which special tokens stand around a query and a document, as the tokenizer itself says.

Derived once from the tokenizer's post-processor, e.g. `[CLS] q [SEP] d [SEP]` for BERT or
`<s> q </s></s> d </s>` for XLM-R, so that no model name needs a rule of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from rerankd.core.errors import StartError
from rerankd.core.rows import Row, TokenIds
from rerankd.models.folder_file import failing_as
from rerankd.models.unigram_tokenizer import PairEncoding, UnigramTokenizer

if TYPE_CHECKING:
    from tokenizers import Encoding

    from rerankd.models.tokens import AnyEncoding, AnyTokenizer

MAX_SPECIALS: Final = 64  # of a row; the most known are 4


def token_ids(encoding: AnyEncoding) -> TokenIds:
    """The ids of an encoding, shape (L,)."""
    return np.asarray(encoding.ids, dtype=np.int32)


@dataclass(frozen=True, slots=True, eq=False)
class PairTemplate:
    """prefix + query + middle + document + suffix."""

    prefix: TokenIds
    middle: TokenIds
    suffix: TokenIds
    second_at: int | None  # index in `middle` (its length: the document) where token type 1 starts

    @property
    def specials(self) -> int:
        """Tokens of a row that are neither query nor document."""
        return self.prefix.size + self.middle.size + self.suffix.size

    def head(self, query: TokenIds) -> tuple[TokenIds, int | None]:
        """What every row of a query starts with, and where its second segment starts."""
        second = None
        if self.second_at is not None:
            second = self.prefix.size + query.size + self.second_at
        return np.concatenate([self.prefix, query, self.middle]), second

    def row(self, head: TokenIds, second: int | None, chunk: TokenIds) -> Row:
        """One row; `head` and `second` from head()."""
        ids = np.concatenate([head, chunk, self.suffix])
        return Row(ids, ids.size if second is None else second)


def derive_template(tokenizer: AnyTokenizer, *, token_types: int) -> PairTemplate:
    """Post-process a tiny encoded pair and read off what was put around it.

    Args:
        tokenizer: its truncation and padding are off.
        token_types: how many the model knows; with one, the tokenizer's types are not used.

    Raises:
        StartError: the post-processor does not build query and document, in this order, once,
            with special tokens before, between and behind them.
    """
    with failing_as("tokenizer.json: its post-processor fails: {}."):
        query, document, pair = _tried(tokenizer)
    mask = np.asarray(pair.special_tokens_mask)
    _check_specials(tokenizer, [pair.ids[i] for i in np.flatnonzero(mask)])
    ids, types = np.asarray(pair.ids, np.int32), np.asarray(pair.type_ids)
    text = np.flatnonzero(mask == 0)
    q, d = len(query), len(document)
    built = q > 0 and d > 0 and ids[text].tolist() == [*query, *document]
    if not built or np.ptp(text[:q]) != q - 1 or np.ptp(text[q:]) != d - 1:
        raise StartError(
            "tokenizer.json: its post-processor does not place a query and then a document, each "
            "once and whole; this is no tokenizer of a cross-encoder."
        )
    starts, ends = (int(text[0]), int(text[q])), (int(text[q - 1]) + 1, int(text[-1]) + 1)
    if starts[0] == 0 or ends[0] == starts[1] or ends[1] == ids.size:
        raise StartError(
            "tokenizer.json: its post-processor puts no special tokens before, between and behind "
            f"query and document (it makes {pair.tokens}); the model would read another text than "
            "it was trained on. Use the tokenizer.json of the model."
        )
    return PairTemplate(
        prefix=ids[: starts[0]],
        middle=ids[ends[0] : starts[1]],
        suffix=ids[ends[1] :],
        second_at=_second_at(types, ends[0], starts[1]) if token_types > 1 else None,
    )


def _tried(tokenizer: AnyTokenizer) -> tuple[list[int], list[int], Encoding | PairEncoding]:
    """The ids of a tiny query and of a document, and both as a pair."""
    texts = ("query", "a document")
    if isinstance(tokenizer, UnigramTokenizer):
        one, other = map(tokenizer.encode, texts)
        return one.ids.tolist(), other.ids.tolist(), tokenizer.post_process(one, other)
    query, document = (tokenizer.encode(text, add_special_tokens=False) for text in texts)
    return query.ids, document.ids, tokenizer.post_process(query, document)


def _check_specials(tokenizer: AnyTokenizer, specials: Sequence[int]) -> None:
    """They are few, and tokens of the vocabulary: the post-processor brings its own numbers."""
    if len(specials) > MAX_SPECIALS:
        raise StartError(
            f"tokenizer.json: its post-processor puts {len(specials)} special tokens around a pair "
            f"(limit {MAX_SPECIALS}). Use the tokenizer.json of the model."
        )
    for each in specials:
        if tokenizer.id_to_token(each) is None:
            raise StartError(
                f"tokenizer.json: its post-processor puts in token {each}, which is not in the "
                "vocabulary. Use the tokenizer.json of the model."
            )


def _second_at(types: np.typing.NDArray[np.int_], middle: int, document: int) -> int | None:
    """Where token type 1 starts, counted from the first token after the query."""
    ones = np.flatnonzero(types)
    if ones.size == 0:
        return None
    start = int(ones[0])
    if not middle <= start <= document or not (types[start:] == 1).all():
        raise StartError(
            f"tokenizer.json: token types {types.tolist()} are not 0 for the query and 1 for the "
            "document; no supported model reads such a pair."
        )
    return start - middle
