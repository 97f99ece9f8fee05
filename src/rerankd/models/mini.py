"""`rerankd-mini`: what ships in builtin/mini, checked and put together."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import msgspec
import numpy as np
from msgspec import Meta
from tokenizers import Tokenizer

from rerankd.core.options import VECTOR_CACHE_BYTES
from rerankd.engines import lexical, token_vectors
from rerankd.engines.encoder import EncoderConfig, tensor_shapes
from rerankd.engines.late_interaction import LateInteractionEngine
from rerankd.engines.shared import SharedEncoders
from rerankd.engines.token_vectors import TokenVectors, Window
from rerankd.models.base import ModelCard
from rerankd.models.builtin_files import (
    CONFIG,
    RANGES,
    TOKENIZER,
    WEIGHTS,
    Folder,
    Size,
    Sizes,
    Tensors,
    read_ranges,
)
from rerankd.models.families import LATE_INTERACTION
from rerankd.models.late_interaction import LateInteractionModel, TextReading
from rerankd.models.mixture import ForeignShare, Mixture
from rerankd.models.shipped import SHIPPED
from rerankd.models.text_encoder import TextEncoder
from rerankd.models.text_windows import TextWindows

PIECE_IDF: Final = "pieces.idf"
PIECE_KINDS: Final = "pieces.kinds"

FEATURES: Final = (*lexical.FEATURES, *token_vectors.FEATURES)  # that are weighed
ENCODER, GATE = "minilm", "foreign_share"  # of the names of features

TEXT_SHARE: Final = 8  # word pieces and terms of as many documents take an eighth or less
MEND: Final = "install rerankd again."

CARD: Final = ModelCard(
    name="rerankd-mini",
    family=LATE_INTERACTION,
    window_tokens=None,
    score=(
        "Probability that the passage was written for the query rather than one of its closest "
        "or a random other passage, half and half, judged by shared words and by the meaning of "
        "English text."
    ),
    named_by_catalog=True,
    revision="1",
)


_ENCODERS: Final = SharedEncoders()  # rerankd-multi uses ours


class MiniHeadFields(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """models.mixture.Mixture, gated by the query's foreign share."""

    knots: Annotated[list[float], Meta(min_length=1)]
    weights: list[list[float]]
    bias: list[float]


class MiniConfig(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """config.json: everything that is not a tensor or the tokenizer."""

    encoder: Sizes
    token_dimensions: Size
    window_pieces: Size
    head: MiniHeadFields
    sha256: dict[str, str]  # of the other files


def load_mini(
    folder: Path | None = None, *, cache_bytes: int = VECTOR_CACHE_BYTES
) -> LateInteractionModel:
    """Load the model that ships inside, or one built by training/build_mini.py.

    Args:
        folder: config.json, model.safetensors, tokenizer.json; None = those of the package.
        cache_bytes: what document vectors may take; word pieces take a TEXT_SHARE-th more. With 0
            nothing is remembered, queries neither.

    Raises:
        StartError: a file is missing or damaged.
    """
    if folder is None:
        with SHIPPED["rerankd-mini"].files() as shipped:
            return load_mini(shipped, cache_bytes=cache_bytes)
    parts = load_parts(folder, cache_bytes)
    engine = LateInteractionEngine({ENCODER: parts.vectors}, embedder=ENCODER, given=(GATE,))
    return LateInteractionModel(
        CARD,
        engine,
        TextReading(
            encoders=[parts.text_encoder],
            window_pieces=parts.window.pieces,
            single=TextWindows(
                model=CARD.name,
                encoder=parts.text_encoder,
                windows={},
                default="",
                plain=parts.window,
                dimensions=parts.dimensions,
            ),
        ),
        parts.mixture,
        cache_bytes=cache_bytes // TEXT_SHARE,
    )


def read_config(path: Path) -> MiniConfig:
    """config.json of a folder whose files are whole. Raises StartError."""
    return Folder(path, MEND).config(MiniConfig)


@dataclass(frozen=True, slots=True, kw_only=True)
class MiniParts:
    """What the model is made of: rerankd-multi uses it too."""

    vectors: TokenVectors
    text_encoder: TextEncoder
    mixture: Mixture
    window: Window
    dimensions: int  # of a text's mean vector


def load_parts(path: Path, cache_bytes: int) -> MiniParts:
    """Load what is in a folder.

    Raises:
        StartError: a file is missing or damaged.
    """
    from rerankd.engines.openvino.token_encoder import (  # here: 0.4 s to import
        PROJECTION,
        TokenEncoder,
    )

    folder = Folder(path, MEND)
    config = read_config(path)
    sizes = config.encoder.encoder()
    tensors = Tensors(folder)
    tensors.expect(
        {
            **tensor_shapes(sizes),
            PROJECTION: (config.token_dimensions, sizes.hidden),
            PIECE_IDF: (sizes.vocab,),
            PIECE_KINDS: (sizes.vocab,),
        }
    )
    tokenizer = _tokenizer(folder, sizes)
    window = Window(
        pieces=config.window_pieces,
        before=(_special(tokenizer, "[CLS]", folder),),
        after=(_special(tokenizer, "[SEP]", folder),),
    )
    if window.tokens > sizes.max_length:
        raise folder.damaged(CONFIG, "the window is over the encoder's positions")
    vectors = TokenVectors(
        _ENCODERS.use(
            (config.sha256[WEIGHTS], config.sha256[RANGES], sizes),
            lambda: tensors.frugal(TokenEncoder(sizes, tensors, ranges=read_ranges(folder, sizes))),
        ),
        query_window=window,
        document_window=window,
        idf=tensors.plain(PIECE_IDF, np.float32),
        cache_bytes=cache_bytes,
    )
    foreign = ForeignShare(tensors.plain(PIECE_KINDS, np.uint8))
    return MiniParts(
        vectors=vectors,
        text_encoder=TextEncoder(tokenizer),
        mixture=_mixture(config.head, foreign, folder),
        window=window,
        dimensions=sizes.hidden,
    )


def _mixture(fields: MiniHeadFields, foreign: ForeignShare, folder: Folder) -> Mixture:
    knots = np.array(fields.knots)
    try:
        weights, bias = np.array(fields.weights, np.float64), np.array(fields.bias)
    except ValueError as error:
        raise folder.damaged(CONFIG, f"head: {error}") from error
    fits = weights.shape == (knots.size, len(FEATURES)) and bias.shape == knots.shape
    if not fits or (np.diff(knots) <= 0).any() or (weights < 0).any():
        raise folder.damaged(CONFIG, "head: knots, weights and bias do not fit")
    return Mixture(foreign, knots, weights, bias)


def _tokenizer(folder: Folder, sizes: EncoderConfig) -> Tokenizer:
    try:
        tokenizer = Tokenizer.from_file(str(folder.path / TOKENIZER))
    except Exception as error:  # the library raises plain Exception
        raise folder.damaged(TOKENIZER, str(error)) from error
    if tokenizer.get_vocab_size() != sizes.vocab:
        raise folder.damaged(TOKENIZER, "its vocabulary is not the encoder's")
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _special(tokenizer: Tokenizer, token: str, folder: Folder) -> int:
    found = tokenizer.token_to_id(token)
    if found is None:
        raise folder.damaged(TOKENIZER, f"it has no {token}")
    return found
