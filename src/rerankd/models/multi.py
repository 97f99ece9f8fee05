"""`rerankd-multi`: what the distribution rerankd-multi brings, with rerankd-mini's own parts."""

from __future__ import annotations

import dataclasses
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
import numpy as np
from msgspec import Meta

from rerankd.core.options import VECTOR_CACHE_BYTES
from rerankd.engines import lexical, token_vectors
from rerankd.engines.cores import usable_cores
from rerankd.engines.encoder import WORDS, tensor_shapes
from rerankd.engines.freed import give_back, share_heaps
from rerankd.engines.frugal import FrugalEncoder
from rerankd.engines.late_interaction import LateInteractionEngine
from rerankd.engines.token_vectors import TokenVectors, Window
from rerankd.models import mini
from rerankd.models.base import ModelCard
from rerankd.models.builtin_files import (
    CONFIG,
    TOKENIZER,
    Folder,
    Size,
    Sizes,
    Tensors,
    read_ranges,
)
from rerankd.models.families import LATE_INTERACTION
from rerankd.models.late_interaction import LateInteractionModel, TextReading
from rerankd.models.multi_head import GIVEN, Bytes, Languages, MultiHead
from rerankd.models.shipped import SHIPPED
from rerankd.models.text_encoder import TextEncoder
from rerankd.models.text_windows import TextWindows
from rerankd.models.tokenizer_file import read_own_tokenizer

if TYPE_CHECKING:
    from rerankd.models.tokens import AnyTokenizer

PIECE_SCRIPTS: Final = "pieces.scripts"
PIECE_IDF: Final = "pieces.idf"
ENCODER: Final = "e5"  # of the names of features
# By the weights of both encoders: a document is mostly seen by one of them.
FEATURES: Final = (
    *lexical.FEATURES,
    *(f"{mini.ENCODER}.{name}" for name in token_vectors.FEATURES),
    *(f"{ENCODER}.{name}" for name in token_vectors.FEATURES),
)

# 3 s of the multilingual encoder's work, after which some ms go to what it left.
_GIVE_BACK_TOKENS: Final = 16_384

CARD: Final = ModelCard(
    name="rerankd-multi",
    family=LATE_INTERACTION,
    window_tokens=None,
    score=(
        "Probability that the passage was written for the query rather than one of its closest "
        "or a random other passage, half and half, judged by shared words and by meaning, in "
        "about a hundred languages and across them."
    ),
    named_by_catalog=True,
    revision="1",
)


class MultiHeadFields(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """models.multi_head.MultiHead, but for the English mixture."""

    function_words: Annotated[list[str], Meta(min_length=1)]
    english_limit: float
    foreign_limit: float
    code_signs: Annotated[float, Meta(ge=0, le=1)]
    weights: dict[str, Annotated[float, Meta(ge=0)]]  # by names of FEATURES; absent = 0
    bias: float
    crossing: Annotated[float, Meta(ge=0)]


class MultiConfig(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """config.json: everything that is not a tensor or the tokenizer."""

    encoder: Sizes
    token_dimensions: Size
    window_pieces: Size
    query_prompt: str
    passage_prompt: str
    common_idf: float
    head: MultiHeadFields
    sha256: dict[str, str]  # of the other files


def load_multi(folder: Path, *, cache_bytes: int = VECTOR_CACHE_BYTES) -> LateInteractionModel:
    """Load the model from the files of its distribution.

    Args:
        folder: config.json, model.safetensors, tokenizer.json.
        cache_bytes: what document vectors of the English encoder may take; those of the other take
            half as much more, word pieces of both a mini.TEXT_SHARE-th of all. With 0 nothing is
            remembered, queries neither.

    Raises:
        StartError: a file of it, or of rerankd-mini, is missing or damaged.
    """
    from rerankd.engines.openvino.token_encoder import (  # here: 0.4 s to import
        PROJECTION,
        TokenEncoder,
    )

    share_heaps(max(2, usable_cores()))
    files = Folder(folder, f"{SHIPPED[CARD.name].install} --force-reinstall")
    config = files.config(MultiConfig)
    sizes = config.encoder.encoder()
    tensors = Tensors(files)
    tensors.expect(
        {
            **tensor_shapes(sizes),
            PROJECTION: (config.token_dimensions, sizes.hidden),
            PIECE_IDF: (sizes.vocab,),
            PIECE_SCRIPTS: (sizes.vocab,),
        }
    )
    with ThreadPoolExecutor(1) as thread:  # compiling needs no interpreter, the vocabulary does
        encoder = thread.submit(
            TokenEncoder,
            sizes,
            tensors,
            words=tensors.four_bits(WORDS),
            ranges=read_ranges(files, sizes),
        )
        loaded = thread.submit(_english, cache_bytes)
        tokenizer, notes = read_own_tokenizer(folder, sizes.vocab)
        text_encoder = TextEncoder(tokenizer)
    vectors = TokenVectors(
        FrugalEncoder(tensors.frugal(encoder.result()), give_back, every_tokens=_GIVE_BACK_TOKENS),
        query_window=_window(config, config.query_prompt, tokenizer, files),
        document_window=_window(config, config.passage_prompt, tokenizer, files),
        idf=tensors.plain(PIECE_IDF, np.float32),
        cache_bytes=cache_bytes * 3 // 2,  # a document takes about half as much more than in mini
        common_idf=config.common_idf,
    )
    english = loaded.result()
    give_back()  # what reading the vocabulary and the matrices took: 50 MB
    return LateInteractionModel(
        dataclasses.replace(CARD, notes=notes),
        LateInteractionEngine(
            {mini.ENCODER: english.vectors, ENCODER: vectors}, embedder=ENCODER, given=GIVEN
        ),
        TextReading(
            encoders=[english.text_encoder, text_encoder],
            window_pieces=config.window_pieces,
            single=_texts(config, text_encoder, files),
        ),
        _head(config.head, english, tensors.plain(PIECE_SCRIPTS, np.uint8), files),
        cache_bytes=cache_bytes * 5 // 2 // mini.TEXT_SHARE,
    )


def _english(cache_bytes: int) -> mini.MiniParts:
    with SHIPPED[mini.CARD.name].files() as folder:
        return mini.load_parts(folder, cache_bytes)


def _head(
    fields: MultiHeadFields, english: mini.MiniParts, scripts: Bytes, files: Folder
) -> MultiHead:
    unknown = set(fields.weights) - set(FEATURES)
    if unknown:
        raise files.damaged(CONFIG, f"head: no feature {min(unknown)}")
    kinds = english.mixture.foreign_share.kinds
    function_words = np.zeros(kinds.size, bool)
    for word in fields.function_words:
        found = english.text_encoder.tokenizer.token_to_id(word)
        if found is None:
            raise files.damaged(CONFIG, f"head: {word} is no word piece of {mini.CARD.name}")
        function_words[found] = True
    return MultiHead(
        english=english.mixture,
        languages=Languages(
            kinds=kinds,
            function_words=function_words,
            scripts=scripts,
            english_limit=fields.english_limit,
            foreign_limit=fields.foreign_limit,
            code_signs=fields.code_signs,
        ),
        weights=np.array([fields.weights.get(name, 0.0) for name in FEATURES]),
        bias=fields.bias,
        crossing=fields.crossing,
    )


def _texts(config: MultiConfig, encoder: TextEncoder, files: Folder) -> TextWindows:
    """Single texts in windows as long as the encoder reads, as a query unless told otherwise."""

    def window(prompt: str) -> Window:
        short = _window(config, prompt, encoder.tokenizer, files)
        more = config.encoder.max_position_embeddings - short.tokens
        return dataclasses.replace(short, pieces=short.pieces + more)

    query, passage = window(config.query_prompt), window(config.passage_prompt)
    return TextWindows(
        model=CARD.name,
        encoder=encoder,
        windows={"query": query, "document": passage, "passage": passage},
        default="query",
        plain=query,
        dimensions=config.encoder.hidden_size,
    )


def _window(config: MultiConfig, prompt: str, tokenizer: AnyTokenizer, files: Folder) -> Window:
    """Texts behind a prompt, between <s> and </s>."""
    first, last = (tokenizer.token_to_id(token) for token in ("<s>", "</s>"))
    if first is None or last is None:
        raise files.damaged(TOKENIZER, "it has no <s> or no </s>")
    said = [int(id_) for id_ in tokenizer.encode(prompt, add_special_tokens=False).ids]
    window = Window(pieces=config.window_pieces, before=(first, *said), after=(last,))
    if window.tokens > config.encoder.max_position_embeddings:
        raise files.damaged(CONFIG, "the window is over the encoder's positions")
    return window
