"""ColBERT models: a vector for each token of a text, and MaxSim between a query's and a document's.

What a query is, is the model's: it is cut to its query_length, and filled up where the model was
trained so. A document of more than document_length is scored as its best chunk, as by every other
model; with max_chunks_per_doc = 1 it is cut there, as the references do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from rerankd.core.chunk import ChunkRule
from rerankd.core.errors import QueryTooLong, StartError
from rerankd.core.explanation import Match, Span
from rerankd.core.meter import Meter
from rerankd.core.options import Precision
from rerankd.core.request import RerankRequest
from rerankd.core.rows import Logits, Prepared, Row, Scores, TokenIds
from rerankd.engines.base import Engine
from rerankd.engines.dense import Dense
from rerankd.engines.multi_vector import MultiVectorEngine, TokenText, pair_row
from rerankd.engines.precisions import openvino_precision
from rerankd.models.activation import MAX_SIM, MEAN_MAX_SIM
from rerankd.models.base import Matcher, ModelCard, RowCollector, query_warnings
from rerankd.models.body import EncoderBody, open_body
from rerankd.models.colbert_folder import ColbertWord, colbert_word
from rerankd.models.colbert_recipe import ColbertRecipe, colbert_recipe
from rerankd.models.dense_module import read_dense
from rerankd.models.documents import (
    check_texts,
    chunk_places,
    cut_document,
    cut_warnings,
    document_names,
    tokens_read,
)
from rerankd.models.families import COLBERT
from rerankd.models.loaders import Opening
from rerankd.models.meaning_matches import QUERY_TOKENS, ReadText, meaning_matches
from rerankd.models.text_encoder import TextEncoder
from rerankd.models.text_parts import Check

_LINEAR: Final = "linear.weight"  # of a Stanford folder
LOGIT: Final = "MaxSim of the document's best chunk"


class ColbertModel:
    """A loaded ColBERT model; see models.base.Model."""

    def __init__(
        self,
        card: ModelCard,
        engine: MultiVectorEngine,
        encoder: TextEncoder,
        recipe: ColbertRecipe,
        chunk_rule: ChunkRule = "bce",
    ) -> None:
        """Put the parts together.

        Args:
            card: its activation is MAX_SIM or MEAN_MAX_SIM.
            engine: answers with MaxSim and the number of a query's vectors.
            encoder: of texts.
            recipe: how they become rows.
            chunk_rule: where the last chunk of a long document lies.
        """
        self.card = card
        self._engine = engine
        self._encoder = encoder
        self._recipe = recipe
        self._chunk_rule: ChunkRule = chunk_rule

    @property
    def engine(self) -> Engine:
        """The encoder, and the vectors that it remembers."""
        return self._engine

    def prepare(self, request: RerankRequest, meter: Meter | None = None) -> Prepared:
        """One row per document or chunk; both texts' tokens count. Thread-safe.

        Raises:
            InvalidRequest: truncation is off and the query or a document would be cut.
        """
        rows = RowCollector(meter)
        check_texts(request, self.card)
        query, warnings = self._query(request, rows.check)
        side = self._recipe.document
        texts = [document.value for document in request.documents]
        enough = tokens_read(request, side.room)
        found = self._encoder.stream(
            texts, document_names(request), rows.check, before=side.prompt, enough=enough
        )
        for index, encoded in enumerate(found):
            prompt, ids = encoded.ids[: encoded.first], encoded.ids[encoded.first :]
            room = side.room - prompt.size
            cut = cut_document(ids, room, request, index, rule=self._chunk_rule)
            made = [
                self._recipe.document_row(
                    np.concatenate([prompt, each]),
                    request.scope,
                    prompt=prompt.size,
                    begins=begins,
                )
                for each, (begins, _) in zip(cut.chunks, cut.spans, strict=True)
            ]
            spans = chunk_places(
                request, self._encoder, texts[index], cut, rows.check, before=side.prompt
            )
            pairs = [pair_row(query, document) for document in made]
            rows.add(index, pairs, is_cut=cut.is_cut, spans=spans)
        return rows.prepared((*warnings, *self._warnings(request, rows.truncated)))

    def logit(self, logits: Logits) -> Scores:
        """MaxSim; divided by the number of the query's vectors where the card says so."""
        if self.card.activation == MEAN_MAX_SIM:
            return logits[:, 0] / np.maximum(logits[:, 1], 1.0)
        return logits[:, 0].astype(np.float64)

    def relevance(self, logit: float) -> float:
        """The logit itself."""
        return self.card.activation(logit)

    def parts(self, output: Logits) -> Mapping[str, float]:
        """MaxSim, and the number of the query's vectors that it is the sum over."""
        return {"maxsim": float(output[0]), "query_vectors": float(output[1])}

    def matcher(self, query: str, check: Check) -> Matcher:
        """What the encoder finds alike of the query and of a document's best chunk."""
        asked = ReadText(self._encoder, query, self._recipe.query.prompt, ahead=QUERY_TOKENS)

        def matches(row: Row, document: str, _: Span) -> Sequence[Match]:  # the row knows
            read = ReadText(self._encoder, document, self._recipe.document.prompt)
            return meaning_matches(self._engine.alignment(row), asked, read, check)

        return matches

    def _query(self, request: RerankRequest, check: Check) -> tuple[TokenText, tuple[str, ...]]:
        """The query's row, and what the caller is told if it was cut."""
        side, most = self._recipe.query, request.max_tokens_per_query
        names, texts = ["query"], [request.query.value]
        encoded = next(self._encoder.stream(texts, names, check, before=side.prompt))
        prompt, whole = encoded.ids[: encoded.first], encoded.ids[encoded.first :]
        asked = whole[:most]
        room = side.room - prompt.size
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
        ids: TokenIds = np.concatenate([prompt, asked[:room]])
        return self._recipe.query_row(ids, request.scope, prompt=prompt.size), warnings

    def _warnings(self, request: RerankRequest, truncated: set[int]) -> tuple[str, ...]:
        warnings: list[str] = []
        if request.instruction is not None:
            warnings.append(f"{self.card.name} has no place for an instruction; it was ignored.")
        return (*warnings, *cut_warnings(request, truncated))


def load_colbert(opening: Opening) -> ColbertModel:
    """Load a folder of PyLate, of Stanford's ColBERT, or of sentence-transformers' own form.

    Raises:
        StartError: the folder cannot be served; the message says what to do.
    """
    precision = _checked_precision(opening)
    from rerankd.engines.openvino.states import StateEncoder  # here: 0.4 s to import

    said = colbert_word(opening.word)
    body = open_body(opening.folder)
    options = opening.options
    recipe = colbert_recipe(said, body, window_tokens=options.window_tokens)
    is_mean = said.is_mean if options.score is None else options.score == "mean"
    activation = MEAN_MAX_SIM if is_mean else MAX_SIM
    encoder = TextEncoder(body.tokenizer)
    card = ModelCard(
        name=opening.name,
        family=COLBERT,
        window_tokens=recipe.document.length,
        score=activation.of(LOGIT),
        activation=activation,
        named_by_catalog=opening.named_by_catalog,
        notes=(*body.notes, *encoder.notes),
    )
    states = StateEncoder(
        body.config,
        body.weights,
        dense=_dense(said, body),
        streams=options.streams,
        precision=precision,
    )
    engine = MultiVectorEngine(
        states, is_normalised=said.is_normalised, cache_bytes=opening.vector_cache_bytes
    )
    return ColbertModel(card, engine, encoder, recipe, opening.chunk_rule)


def _dense(said: ColbertWord, body: EncoderBody) -> tuple[Dense, ...]:
    """The layers behind the body."""
    if said.has_own_linear:
        shape = body.weights.shapes().get(_LINEAR, ())
        outputs = shape[0] if shape else 0
        body.weights.require({_LINEAR: (outputs, body.config.hidden)}, unread=("",))
        return (Dense(weight=body.weights(_LINEAR)),)
    found: list[Dense] = []
    width = body.config.hidden
    for folder in said.dense:
        found.append(read_dense(folder, width, reads="token_embeddings"))
        width = found[-1].outputs
    return tuple(found)


def _checked_precision(opening: Opening) -> Precision:
    """The precision that is chosen; what would be ignored otherwise is refused."""
    options = opening.options
    if options.engine != "openvino" or options.device not in (None, "cpu"):
        raise StartError(f'{opening.name}: a ColBERT model runs on engine = "openvino" only.')
    return openvino_precision(options, "colbert", "a ColBERT model")
