"""A request as token rows, and what comes of rows. Shapes: B rows, L tokens, K numbers of a row."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from rerankd.core.visual import Placed

TokenIds = npt.NDArray[np.int32]  # shape (L,)
# What an engine gives, (B, K): logits of K labels, or features that the model weighs (Model.logit).
Logits = npt.NDArray[np.float32 | np.float64]
Scores = npt.NDArray[np.float64]  # shape (B,)
# (V, d): of one listwise row, a vector per document and the query's behind; or of V single texts.
Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """Token ids of one (query, chunk) pair, special tokens included.

    `ids` has shape (L,), L > 0. `second` is the index of the first token of the second segment
    (token type 1 for BERT; where the document starts for the lexical engine); L when there is none.
    `visuals` are what some of the tokens stand for, in reading order; rows of one query share them.
    """

    ids: TokenIds
    second: int
    visuals: tuple[Placed, ...] = field(default=(), kw_only=True)

    @property
    def tokens(self) -> int:
        """Length L of the row: what it costs in a batch, a queue and the usage count."""
        return int(self.ids.size)

    @property
    def image_tokens(self) -> int:
        """How many of the tokens stand for a part of an image or of a video frame."""
        return sum(placed.visual.tokens for placed in self.visuals) if self.visuals else 0

    def key(self) -> tuple[int, bytes]:
        """Equal keys mean equal pairs: they are scored once.

        Two images have the same placeholder ids, so their digests are in the key. Where a model
        has images, `second` is L in all its rows: it says where in the bytes the ids end.
        """
        if not self.visuals:
            return self.second, self.ids.tobytes()
        return self.second, b"".join([self.ids.tobytes(), *(p.key for p in self.visuals)])


@dataclass(frozen=True, slots=True, eq=False)
class SoleText(Row):
    """A row of one text that no other stands beside: what is embedded."""

    def key(self) -> tuple[int, bytes]:
        """Never that of a pair."""
        return -1, self.ids.tobytes()


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A request as token rows: what a model makes of it before any engine runs.

    rows[i] belongs to documents[owners[i]]; rows are in document order, then chunk order, and
    every document has at least one row. A row of a listwise model belongs to that document and
    those behind it, up to the next row's.
    """

    rows: tuple[Row, ...]
    owners: tuple[int, ...]
    truncated: frozenset[int] = frozenset()  # indexes of documents of which something was cut off
    warnings: tuple[str, ...] = ()
    # Which characters of its document each row has; None = all. () = all, or nobody asked.
    spans: tuple[tuple[int, int] | None, ...] = ()
    # Character of a query behind which nothing was read, of models that can tell; None = all was.
    query_end: int | None = None
    # Sum of the lengths of all rows: exact, equal pairs each counted.
    input_tokens: int = field(init=False)
    # Of them, placeholders of images and video frames.
    image_tokens: int = field(init=False)

    def __post_init__(self) -> None:
        """Count once: it is asked several times."""
        object.__setattr__(self, "input_tokens", sum([row.tokens for row in self.rows]))
        object.__setattr__(self, "image_tokens", sum([row.image_tokens for row in self.rows]))


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedTexts:
    """Texts to embed as token rows, one each, in their order."""

    rows: tuple[SoleText, ...]
    warnings: tuple[str, ...] = ()

    @property
    def input_tokens(self) -> int:
        """Sum of the lengths of all rows: exact, equal texts each counted."""
        return sum(row.tokens for row in self.rows)
