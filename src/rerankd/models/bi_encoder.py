"""Embedding models: a vector for each text; rerankers by its cosine, if the operator says so.

A text is its prompt and itself as one string, cut at its end to what the model reads, as
sentence-transformers does. As a reranker, a document that is longer is scored as its best chunk.
Source: sentence-transformers 6.2, sentence_transformer/model.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from rerankd.core.embedding import EmbedRequest
from rerankd.core.errors import QueryTooLong, StartError
from rerankd.core.meter import Meter
from rerankd.core.options import Precision
from rerankd.core.request import RerankRequest
from rerankd.core.rows import Logits, Prepared, PreparedTexts, Scores, SoleText, TokenIds
from rerankd.engines.base import Engine
from rerankd.engines.precisions import openvino_precision
from rerankd.engines.text_vectors import TextVectorEngine, text_pair
from rerankd.models.activation import COSINE
from rerankd.models.base import ModelCard, RowCollector, query_warnings
from rerankd.models.bi_encoder_folder import Prompts, check_modules, read_behind, read_prompts
from rerankd.models.body import EncoderBody, open_body
from rerankd.models.documents import (
    check_texts,
    chunk_places,
    cut_document,
    cut_warnings,
    document_names,
    tokens_read,
)
from rerankd.models.embedder import cut_texts_warning, prompt_of, text_limit, too_long_text
from rerankd.models.families import BI_ENCODER
from rerankd.models.folder_file import shown
from rerankd.models.loaders import Opening
from rerankd.models.single_template import SingleTemplate, single_template
from rerankd.models.text_encoder import TextEncoder
from rerankd.models.text_parts import Check
from rerankd.models.transformer_module import read_states_module

LOGIT: Final = "cosine of the vectors of the query and of the document's best chunk"
_MIN_WINDOW: Final = 16  # tokens
_QUERY: Final = ("query",)
_DOCUMENT: Final = ("document", "passage", "corpus")


@dataclass(frozen=True, slots=True, kw_only=True)
class TextRecipe:
    """How texts become rows."""

    template: SingleTemplate
    prompts: Prompts
    window_tokens: int
    dimensions: int  # of a vector
    is_unit: bool  # published with length 1

    @property
    def room(self) -> int:
        """Tokens of a prompt and a text together."""
        return self.window_tokens - self.template.specials

    def row(self, ids: TokenIds) -> SoleText:
        """The row of a prompt's and a text's tokens."""
        whole = self.template.ids(ids)
        return SoleText(whole, whole.size)


class BiEncoder:
    """A loaded embedding model; see models.base.Model and models.embedder.Embedder."""

    def __init__(
        self, card: ModelCard, engine: TextVectorEngine, encoder: TextEncoder, recipe: TextRecipe
    ) -> None:
        self.card = card
        self._engine = engine
        self._encoder = encoder
        self._recipe = recipe

    @property
    def engine(self) -> Engine:
        """The encoder."""
        return self._engine

    @property
    def dimensions(self) -> int:
        """Of a vector."""
        return self._recipe.dimensions

    @property
    def is_unit(self) -> bool:
        """Whether the folder ends with Normalize."""
        return self._recipe.is_unit

    @property
    def gives_raw(self) -> bool:
        """Vectors are normalised behind the engine."""
        return True

    def prepare_texts(self, request: EmbedRequest, meter: Meter) -> PreparedTexts:
        """One row per text. Thread-safe."""
        recipe, name = self._recipe, self.card.name
        prompt = prompt_of(request, recipe.prompts.texts, recipe.prompts.default, name)
        limit = text_limit(request, recipe.window_tokens, recipe.template.specials)
        room = limit - recipe.template.specials
        fields = [request.name(i) for i in range(len(request.texts))]
        enough = room if request.truncation else None
        found = self._encoder.stream(
            request.texts, fields, meter.check, before=prompt, enough=enough
        )
        rows: list[SoleText] = []
        cut = 0
        for field, encoded in zip(fields, found, strict=True):
            is_cut = encoded.ids.size > room
            if is_cut and not request.truncation:
                raise too_long_text(field, limit, name)
            cut += is_cut
            rows.append(recipe.row(encoded.ids[:room]))
            meter.add(rows[-1].tokens)
        return PreparedTexts(rows=tuple(rows), warnings=cut_texts_warning(cut, len(rows), limit))

    def prepare(self, request: RerankRequest, meter: Meter | None = None) -> Prepared:
        """One row per document or chunk; both texts' tokens count. Thread-safe.

        Raises:
            InvalidRequest: truncation is off and the query or a document would be cut.
        """
        rows = RowCollector(meter)
        check_texts(request, self.card)
        query, warnings = self._query(request, rows.check)
        before, room = self._prompt(_DOCUMENT), self._recipe.room
        texts = [document.value for document in request.documents]
        found = self._encoder.stream(
            texts,
            document_names(request),
            rows.check,
            before=before,
            enough=tokens_read(request, room),
        )
        for index, encoded in enumerate(found):
            prompt, ids = encoded.ids[: encoded.first], encoded.ids[encoded.first :]
            cut = cut_document(ids, room - prompt.size, request, index)
            made = [self._recipe.row(np.concatenate([prompt, each])) for each in cut.chunks]
            spans = chunk_places(
                request, self._encoder, texts[index], cut, rows.check, before=before
            )
            pairs = [text_pair(query, each) for each in made]
            rows.add(index, pairs, is_cut=cut.is_cut, spans=spans)
        if request.instruction is not None:
            told = f"{self.card.name} has no place for an instruction; it was ignored."
            warnings = (*warnings, told)
        return rows.prepared((*warnings, *cut_warnings(request, rows.truncated)))

    def logit(self, logits: Logits) -> Scores:
        """The cosine, shape (B, 1) -> (B,)."""
        return logits[:, 0].astype(np.float64)

    def relevance(self, logit: float) -> float:
        """The cosine itself."""
        return self.card.activation(logit)

    def _prompt(self, names: tuple[str, ...]) -> str:
        asked = EmbedRequest(texts=(), prompts=names)
        prompts = self._recipe.prompts
        return prompt_of(asked, prompts.texts, prompts.default, self.card.name)

    def _query(self, request: RerankRequest, check: Check) -> tuple[SoleText, tuple[str, ...]]:
        """The query's row, and what the caller is told if it was cut."""
        names, texts = ["query"], [request.query.value]
        encoded = next(self._encoder.stream(texts, names, check, before=self._prompt(_QUERY)))
        prompt, whole = encoded.ids[: encoded.first], encoded.ids[encoded.first :]
        asked, room = whole[: request.max_tokens_per_query], self._recipe.room - prompt.size
        if asked.size > room and not request.truncation:
            raise QueryTooLong(
                f"query has {asked.size} tokens; {self.card.name} reads {room} and truncation is "
                "off. Shorten the query, or set truncation to true.",
                tokens=asked.size,
                limit=room,
            )
        warnings = query_warnings(request, is_cut=asked.size < whole.size)
        if asked.size > room:
            told = f"query: cut to its first {room} tokens; {self.card.name} reads no more."
            warnings = (*warnings, told)
        return self._recipe.row(np.concatenate([prompt, asked[:room]])), warnings


def load_bi_encoder(opening: Opening) -> BiEncoder:
    """Load a folder of sentence-transformers; models.selfcheck is the caller's next step.

    Raises:
        StartError: the folder cannot be served; the message says what to do.
    """
    precision = _checked_precision(opening)
    from rerankd.engines.openvino.states import StateEncoder  # here: 0.4 s to import

    word, options = opening.word, opening.options
    check_modules(word)
    prompts = read_prompts(word)
    longest = read_states_module(opening.folder)
    body = open_body(opening.folder)
    behind = read_behind(word, body.config.hidden)
    template, encoder = single_template(body.tokenizer), TextEncoder(body.tokenizer)
    window = _window(body, options.window_tokens, longest)
    card = ModelCard(
        name=opening.name,
        family=BI_ENCODER,
        window_tokens=window,
        score=COSINE.of(LOGIT),
        activation=COSINE,
        ranks=options.score == "cosine",
        notes=(*body.notes, *encoder.notes),
    )
    states = StateEncoder(
        body.config,
        body.weights,
        pooling=behind.pooling,
        dense=behind.layers,
        streams=options.streams,
        precision=precision,
    )
    recipe = TextRecipe(
        template=template,
        prompts=prompts,
        window_tokens=window,
        dimensions=states.dimensions,
        is_unit=behind.is_unit,
    )
    return BiEncoder(card, TextVectorEngine(states), encoder, recipe)


def _window(body: EncoderBody, chosen: int | None, longest: int | None) -> int:
    """The longest row: max_seq_length if it is said, else the tokenizer's, within the positions."""
    limit = body.config.max_length
    window = chosen or min(limit, longest or body.model_max_length or limit)
    if not _MIN_WINDOW <= window <= limit:
        raise StartError(
            f"{body.folder}: a window of {window} tokens is not possible; the model takes "
            f"{_MIN_WINDOW} to {limit}."
        )
    return window


def _checked_precision(opening: Opening) -> Precision:
    """The precision that is chosen; a reranker's name and what would be ignored are refused."""
    options, name = opening.options, opening.name
    if opening.named_by_catalog:
        raise StartError(
            f"{opening.folder}: this folder is an embedding model and not {shown(name)}, which "
            "ranks. Serve it under another name."
        )
    if options.engine != "openvino" or options.device not in (None, "cpu"):
        raise StartError(f'{name}: an embedding model runs on engine = "openvino" only.')
    return openvino_precision(options, "bi-encoder", "an embedding model")
