"""Cross-encoders with a classification head: BERT, XLM-R, RoBERTa, ModernBERT, DeBERTa-v2.

One row per (query, chunk). The document scores as its best chunk (core.rank). Only the document is
ever cut; where a published recipe also cuts the query (FlagReranker), ours refuses it instead.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from rerankd.core.chunk import ChunkRule
from rerankd.core.errors import QueryTooLong, StartError
from rerankd.core.meter import Meter
from rerankd.core.options import BY_THE_CARD, LoadOptions
from rerankd.core.request import RerankRequest
from rerankd.core.rows import Logits, Prepared, Scores
from rerankd.engines.base import Engine
from rerankd.engines.build import encoder_engine
from rerankd.models.activation import SIGMOID, Activation
from rerankd.models.base import ModelCard, RowCollector, query_warnings
from rerankd.models.body import EncoderBody
from rerankd.models.checkpoint import Checkpoint, open_checkpoint
from rerankd.models.documents import (
    check_texts,
    chunk_places,
    cut_document,
    cut_warnings,
    document_names,
    tokens_read,
)
from rerankd.models.families import CROSS_ENCODER
from rerankd.models.folder_word import SETTINGS
from rerankd.models.pair_template import PairTemplate, derive_template
from rerankd.models.text_encoder import TextEncoder
from rerankd.models.tokenizer_config import lowercase_first
from rerankd.models.transformer_module import AS_THE_TOKENIZER, PairModule

LOGIT = "the logit of the document's best chunk"
MIN_WINDOW_TOKENS = 16


@dataclass(frozen=True, slots=True)
class PairReading:
    """What the files beside config.json and tokenizer.json say of a pair and its score."""

    activation: Activation = SIGMOID
    query_prompt: str = ""  # stands before every query, and counts as a part of it
    module: PairModule = AS_THE_TOKENIZER


PLAIN: Final = PairReading()


class CrossEncoder:
    """A loaded cross-encoder; see models.base.Model."""

    def __init__(
        self,
        card: ModelCard,
        engine: Engine,
        encoder: TextEncoder,
        template: PairTemplate,
        chunk_rule: ChunkRule = "bce",
        *,
        relevant: int = 1,
    ) -> None:
        """Put the parts together.

        Args:
            card: card.window_tokens is the longest row.
            engine: answers with K = 1 or 2 labels.
            encoder: of texts.
            template: of its tokenizer.
            chunk_rule: where the last chunk of a long document lies.
            relevant: of two labels, the index of the one that speaks for a document.
        """
        if card.window_tokens is None:
            raise StartError(f"{card.name}: a cross-encoder needs a window.")
        self.card = card
        self.engine = engine
        self._encoder = encoder
        self._template = template
        self._chunk_rule: ChunkRule = chunk_rule
        self._window = card.window_tokens
        self._relevant = relevant
        prompt = encoder.encode(card.query_prompt, "query").size if card.query_prompt else 0
        if prompt >= self._query_limit:
            raise StartError(
                f"{card.name}: the prompt before every query has {prompt} tokens, and a query with "
                f"it may have {self._query_limit} (three quarters of the window of "
                f"{self._window}). Widen window_tokens, or set default_prompt_name to null in "
                f"{SETTINGS}."
            )

    def with_window(self, window_tokens: int) -> CrossEncoder:
        """The same model and engine with another window."""
        card = dataclasses.replace(self.card, window_tokens=window_tokens)
        return CrossEncoder(
            card,
            self.engine,
            self._encoder,
            self._template,
            self._chunk_rule,
            relevant=self._relevant,
        )

    def prepare(self, request: RerankRequest, meter: Meter | None = None) -> Prepared:
        """Encode the query once and every document, and cut the documents into chunks."""
        rows = RowCollector(meter)
        check_texts(request, self.card)
        asked = self.card.query_prompt + request.query.value
        whole = self._encoder.encode(asked, "query", rows.check)
        query = whole[: request.max_tokens_per_query]
        room = self._document_window(query.size)
        head, second = self._template.head(query)
        texts = [document.value for document in request.documents]
        enough = tokens_read(request, room)
        found = self._encoder.stream(texts, document_names(request), rows.check, enough=enough)
        for index, encoded in enumerate(found):
            cut = cut_document(encoded.ids, room, request, index, rule=self._chunk_rule)
            made = [self._template.row(head, second, ids) for ids in cut.chunks]
            spans = chunk_places(request, self._encoder, texts[index], cut, rows.check)
            rows.add(index, made, is_cut=cut.is_cut, spans=spans)
        said = query_warnings(request, is_cut=query.size < whole.size)
        return rows.prepared((*said, *self._warnings(request, rows.truncated)))

    def logit(self, logits: Logits) -> Scores:
        """K = 1: the logit; K = 2: relevant minus irrelevant, so that sigmoid is the softmax."""
        wide = logits.astype(np.float64)
        if logits.shape[1] == 1:
            return wide[:, 0]
        return wide[:, self._relevant] - wide[:, 1 - self._relevant]

    def relevance(self, logit: float) -> float:
        """The card's activation of the logit."""
        return self.card.activation(logit)

    @property
    def _query_limit(self) -> int:
        """Tokens that a query may have with its prompt: three quarters of the window."""
        return min(self._window * 3 // 4, self._window - self._template.specials - 1)

    def _document_window(self, query_tokens: int) -> int:
        """Tokens that a chunk may have beside this query; the query may take 3/4 of the window."""
        specials, limit = self._template.specials, self._query_limit
        if query_tokens > limit:
            raise QueryTooLong(
                f"query has {query_tokens} tokens; {self.card.name} takes at most {limit} (three "
                f"quarters of its window of {self._window}). Shorten the query.",
                tokens=query_tokens,
                limit=limit,
            )
        return self._window - specials - query_tokens

    def _warnings(self, request: RerankRequest, truncated: set[int]) -> tuple[str, ...]:
        warnings: list[str] = []
        if request.instruction is not None:
            warnings.append(f"{self.card.name} has no place for an instruction; it was ignored.")
        return (*warnings, *cut_warnings(request, truncated))


def window_of(
    checkpoint: Checkpoint | EncoderBody, window_tokens: int | None, said_tokens: int | None = None
) -> int:
    """The longest row: the catalog's, else what the folder says; no longer than its positions.

    Args:
        checkpoint: its positions, and its tokenizer's model_max_length.
        window_tokens: the catalog's or the operator's.
        said_tokens: what sentence-transformers sets in the place of model_max_length.

    Raises:
        StartError: the catalog's window is over the position limit, or too small to be of use.
    """
    limit = checkpoint.config.max_length
    window = window_tokens or min(limit, said_tokens or checkpoint.model_max_length or limit)
    if not MIN_WINDOW_TOKENS <= window <= limit:
        raise StartError(
            f"{checkpoint.folder}: a window of {window} tokens is not possible; the model takes "
            f"{MIN_WINDOW_TOKENS} to {limit}."
        )
    return window


def load_cross_encoder(
    folder: Path,
    *,
    name: str,
    options: LoadOptions = BY_THE_CARD,
    chunk_rule: ChunkRule = "bce",
    named_by_catalog: bool = False,
    said: PairReading = PLAIN,
) -> CrossEncoder:
    """Load a checkpoint folder; models.selfcheck is the caller's next step.

    Args:
        folder: config.json, tokenizer.json, safetensors.
        name: what it is served under.
        options: window and engine; no window = the checkpoint's own.
        chunk_rule: the catalog's.
        named_by_catalog: a failed relevance probe then refuses the model.
        said: by the folder's other files.

    Raises:
        StartError: the folder cannot be served; the message says what to do.
    """
    checkpoint = open_checkpoint(folder)
    if said.module.lowercases:
        lowercase_first(checkpoint.tokenizer, folder)
    window = window_of(checkpoint, options.window_tokens, said.module.window_tokens)
    template = derive_template(checkpoint.tokenizer, token_types=checkpoint.token_types)
    encoder = TextEncoder(checkpoint.tokenizer)
    card = ModelCard(
        name=name,
        family=CROSS_ENCODER,
        window_tokens=window,
        score=said.activation.of(LOGIT),
        activation=said.activation,
        query_prompt=said.query_prompt,
        named_by_catalog=named_by_catalog,
        notes=(*checkpoint.notes, *encoder.notes),
    )
    engine = encoder_engine(checkpoint.config, checkpoint.weights, options)
    return CrossEncoder(
        card,
        engine,
        encoder,
        template,
        chunk_rule,
        relevant=checkpoint.relevant,
    )
