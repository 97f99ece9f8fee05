"""The published prompt of Qwen3-VL-Reranker, rendered by us: text parts and pictures in a row.

What the checkpoint's chat template makes of it, with no template engine: system text, the user's
parts, and the opening of the answer with the newline behind it.

Sources: https://github.com/QwenLM/Qwen3-VL-Embedding, src/models/qwen3_vl_reranker.py; the chat
template of Qwen3-VL; transformers, processing_qwen3_vl (timestamps; the frames of a video stand
inside the template's own vision tokens, as its releases from 5.10 on have it).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from rerankd.core.rows import TokenIds
from rerankd.core.visual import Placed, Visual
from rerankd.models.vision_pixels import ProcessedMedia

SYSTEM: Final = (
    "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and "
    'the Instruct provided. Note that the answer can only be "yes" or "no".<|im_end|>\n'
    "<|im_start|>"
)
INSTRUCT: Final = "user\n<Instruct>: "
QUERY: Final = "<Query>:"
DOCUMENT: Final = "\n<Document>:"
AFTER: Final = "<|im_end|>\n<|im_start|>assistant\n"
DEFAULT_INSTRUCTION: Final = (
    "Given a search query, retrieve relevant candidates that answer the query."
)
SPECIALS: Final = (
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
    "<|video_pad|>",
)
YES: Final = "yes"
NO: Final = "no"

Encode = Callable[[str], TokenIds]  # special tokens that the text spells out become such


@dataclass(frozen=True, slots=True, kw_only=True)
class VisionTokens:
    """Ids of the tokens around and in a picture."""

    start: int
    end: int
    image: int
    video: int


@dataclass(slots=True)
class Draft:
    """A prompt while it is written.

    Text waits in `pending` until a special token comes, which no word reaches across: only then is
    it tokenised, so that the parts are what the whole string would be.
    """

    encode: Encode
    tokens: VisionTokens
    pending: str = ""
    placed: list[Placed] = field(default_factory=list[Placed])
    parts: list[TokenIds] = field(default_factory=list[TokenIds])
    size: int = 0

    def write(self, text: str) -> None:
        """Text behind what is there."""
        self.pending += text

    def add_media(self, media: ProcessedMedia) -> None:
        """An image, or a video with the time before each of its parts."""
        if not media.seconds:
            self._place(media.visuals[0], self.tokens.image)
            return
        self._add([self.tokens.start])
        for second, visual in zip(media.seconds, media.visuals, strict=True):
            self.write(f"<{second:.1f} seconds>")
            self._place(visual, self.tokens.video)
        self._add([self.tokens.end])

    def flush(self) -> None:
        """Tokenise what waits; a special token has to follow."""
        if self.pending:
            waiting, self.pending = self.pending, ""
            self._append(self.encode(waiting))

    @property
    def ids(self) -> TokenIds:
        """What is tokenised."""
        return np.concatenate(self.parts) if self.parts else np.empty(0, dtype=np.int32)

    def copy(self) -> Draft:
        """Another that goes on from here."""
        return Draft(
            self.encode, self.tokens, self.pending, [*self.placed], [*self.parts], self.size
        )

    def _place(self, visual: Visual, token: int) -> None:
        self._add([self.tokens.start])
        self.placed.append(Placed(visual, self.size))
        self._add([*[token] * visual.tokens, self.tokens.end])

    def _add(self, ids: list[int]) -> None:
        self.flush()
        self._append(np.array(ids, dtype=np.int32))

    def _append(self, ids: TokenIds) -> None:
        self.parts.append(ids)
        self.size += ids.size
