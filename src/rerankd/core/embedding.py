"""A request to embed texts, and its answer, in one form for all dialects. Frozen data.

Shapes: N texts, d numbers of a vector.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from rerankd.core.errors import InvalidRequest
from rerankd.core.rows import Vectors


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbedRequest:
    """What a caller asked."""

    texts: tuple[str, ...]  # never empty: dialects refuse that earlier
    field: str = "input"  # what the caller's format calls them, for errors
    model: str | None = None  # None = the server's default for embeddings
    # Names of prompts: the first that the model has stands before each text. () = its default.
    prompts: tuple[str, ...] = ()
    needs_prompt: bool = False  # refuse where the model has none of them
    dimensions: int | None = None  # the first so many numbers of each vector; None = all
    is_unit: bool | None = None  # vectors of length 1; None = as the model has them
    max_tokens: int | None = None  # of a text, prompt and special tokens included
    truncation: bool = True  # False = refuse a text that would be cut
    priority: int = 0  # as RerankRequest's
    scope: bytes = b""  # as RerankRequest's

    def name(self, index: int) -> str:
        """The field of one text, for errors."""
        return f"{self.field}[{index}]" if len(self.texts) > 1 else self.field


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Embedded:
    """The answer: a vector for every text, in their order, and exact counts."""

    model: str  # who answered, never an alias
    vectors: Vectors
    input_tokens: int  # of all texts, special tokens and prompts included
    warnings: tuple[str, ...] = field(default_factory=tuple[str, ...])


def unit(vectors: Vectors) -> Vectors:
    """Rows of length 1, (N, d); a row of zeros stays.

    As torch.nn.functional.normalize: by the larger of its length and 1e-12.
    """
    lengths = np.sqrt(np.sum(vectors * vectors, axis=1, keepdims=True, dtype=np.float32))
    return np.divide(vectors, np.maximum(lengths, np.float32(1e-12)), dtype=np.float32)


def shaped(vectors: Vectors, dimensions: int | None, *, is_unit: bool) -> Vectors:
    """The first numbers of each vector, (N, d) -> (N, dimensions), then to length 1 if wanted."""
    cut = vectors if dimensions is None else vectors[:, :dimensions]
    return unit(cut) if is_unit else cut


def check_dimensions(dimensions: int | None, of: int, model: str) -> None:
    """Raises InvalidRequest when more numbers are asked for than a vector has."""
    if dimensions is not None and dimensions > of:
        raise InvalidRequest(
            f"dimensions: {dimensions} were asked for; vectors of {model} have {of}. Send at most "
            f"{of}, or leave it out.",
            param="dimensions",
        )
