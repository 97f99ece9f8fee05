"""Decoders that answer a question about a pair with one token: Qwen3-Reranker, mxbai-rerank v2.

A row is the published prompt up to where the answer would stand; its logit is yes minus no. The
document scores as its best chunk (core.rank). Only the document is cut, and the query where the
request says so; where a published recipe cuts every long query, ours refuses it instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import starmap
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rerankd.core.errors import QueryTooLong, StartError
from rerankd.core.meter import Meter
from rerankd.core.options import BY_THE_CARD, LoadOptions
from rerankd.core.request import Content, RerankRequest
from rerankd.core.rows import Logits, Prepared, Row, Scores, TokenIds
from rerankd.engines.base import Engine
from rerankd.engines.build import decoder_engine
from rerankd.models.activation import SIGMOID, Activation
from rerankd.models.base import ModelCard, RowCollector, query_warnings
from rerankd.models.documents import (
    check_text,
    check_texts,
    cut_document,
    cut_warnings,
    document_names,
    tokens_read,
)
from rerankd.models.families import CAUSAL_YES_NO
from rerankd.models.prompt_window import PromptWindow, window_tokens
from rerankd.models.text_encoder import TextEncoder
from rerankd.models.text_parts import Check
from rerankd.models.yes_no_recipes import RECIPES, Recipe

if TYPE_CHECKING:
    from tokenizers import Tokenizer

WINDOW_TOKENS = 8192  # of both published recipes; the models themselves take more


class CausalYesNo:
    """A loaded decoder reranker; see models.base.Model."""

    def __init__(
        self, card: ModelCard, engine: Engine, encoder: TextEncoder, recipe: Recipe
    ) -> None:
        """Put the parts together.

        Args:
            card: card.window_tokens is the longest row.
            engine: answers with K = 1 label, yes minus no.
            encoder: of texts.
            recipe: the prompt.

        Raises:
            StartError: the window has no room for the template.
        """
        self.card = card
        self.engine = engine
        self._encoder = encoder
        self._recipe = recipe
        self._shift = _shift(recipe, card.name, card.activation) if card.named_by_catalog else 0.0
        self._after = self._apart(recipe.after)
        self._window = PromptWindow(card.name, card.window_tokens or WINDOW_TOKENS)
        self._window.check_template(self._fixed_tokens(None))

    def with_window(self, window_tokens: int) -> CausalYesNo:
        """The same model and engine with another window."""
        card = replace(self.card, window_tokens=window_tokens)
        return CausalYesNo(card, self.engine, self._encoder, self._recipe)

    def prepare(self, request: RerankRequest, meter: Meter | None = None) -> Prepared:
        """Encode every document behind its query, and cut the documents into chunks.

        Special tokens that a text spells out are read as such, as the published code does.
        """
        rows = RowCollector(meter)
        check_texts(request, self.card)
        if request.instruction is not None:
            check_text("instruction", Content(value=request.instruction), self.card)
        request, cut = query_cut(request, self._encoder, rows.check)
        self._check_query(request)
        before, body = self._recipe.texts(request.query.value, request.instruction)
        start = self._apart(before)
        texts = [document.value for document in request.documents]
        found = self._encoder.stream(
            texts,
            document_names(request),
            rows.check,
            before=body,
            enough=tokens_read(request, self._window.tokens),
        )
        for index, encoded in enumerate(found):
            ids, first = encoded.ids, encoded.first
            head = np.concatenate([start, ids[:first]])
            room = self._window.tokens - head.size - self._after.size
            if room < 1:
                raise self._query_too_long(request, self._window.tokens - self._after.size - 1)
            chunks, is_cut = cut_document(ids[first:], room, request, index)
            made = [self._row(head, chunk) for chunk in chunks]
            rows.add(index, made, is_cut=is_cut)
        return rows.prepared((*cut, *cut_warnings(request, rows.truncated)))

    def logit(self, logits: Logits) -> Scores:
        """Yes minus no."""
        return logits[:, 0].astype(np.float64)

    def relevance(self, logit: float) -> float:
        """The card's activation of the logit, shifted where the recipe's publisher does so."""
        return self.card.activation(logit - self._shift)

    def _row(self, head: TokenIds, chunk: TokenIds) -> Row:
        ids = np.concatenate([head, chunk, self._after])
        return Row(ids, ids.size)

    def _apart(self, parts: Sequence[str]) -> TokenIds:
        """Parts tokenised one by one, then joined."""
        return np.concatenate([self._encode(part) for part in parts])

    def _encode(self, text: str, name: str = "query") -> TokenIds:
        return self._encoder.encode(text, name)

    def _fixed_tokens(self, instruction: str | None) -> int:
        """Tokens of a row without query and document."""
        before, body = self._recipe.texts("", instruction)
        return self._apart([*before, body]).size + self._after.size

    def _check_query(self, request: RerankRequest) -> None:
        """The query may take 3/4 of the window, and the instruction what that leaves.

        Raises:
            InvalidRequest: naming the field, the limit and the way out.
        """
        fixed = self._fixed_tokens(request.instruction)
        if fixed > self._window.most:
            tokens = self._encode(request.instruction or "", "instruction").size
            raise self._window.instruction_too_long(fixed, tokens)
        limit = self._window.query_limit(fixed)
        if self._encode(request.query.value).size > limit:
            raise self._query_too_long(request, limit)

    def _query_too_long(self, request: RerankRequest, limit: int) -> QueryTooLong:
        return self._window.too_long(self._encode(request.query.value).size, limit)


def _shift(recipe: Recipe, name: str, activation: Activation) -> float:
    """What is taken from the logit before the sigmoid; of raw scores nothing."""
    return recipe.shifts.get(name, 0.0) if activation.is_bounded else 0.0


def query_cut(
    request: RerankRequest, encoder: TextEncoder, check: Check
) -> tuple[RerankRequest, tuple[str, ...]]:
    """The request with a text query of at most max_tokens_per_query, and what the caller is told.

    The query is cut as text, since its ends become tokens together with the prompt around it.
    """
    most, asked = request.max_tokens_per_query, request.query
    if most is None or asked.modality != "text":
        return request, ()
    if encoder.encode(asked.value, "query", check).size <= most:
        return request, ()
    kept = encoder.covered(asked.value, most, check)
    return replace(request, query=replace(asked, value=kept)), query_warnings(request, is_cut=True)


def answer_id(tokenizer: Tokenizer, answer: str, folder: Path) -> int:
    """The id of an answer.

    Raises:
        StartError: it is not a single token.
    """
    ids = tokenizer.encode(answer, add_special_tokens=False).ids
    if len(ids) != 1:
        raise StartError(
            f"{folder}/tokenizer.json makes {len(ids)} tokens of {answer!r}, which a yes-or-no "
            "reranker answers with; the tokenizer belongs to another model."
        )
    return ids[0]


def check_specials(tokenizer: Tokenizer, recipe: Recipe, folder: Path) -> None:
    """The template's special tokens are tokens of their own, not text.

    Raises:
        StartError: one is not.
    """
    for special in recipe.specials:
        if len(tokenizer.encode(special, add_special_tokens=False).ids) != 1:
            raise StartError(
                f"{folder}/tokenizer.json has no token {special}, which the model's template is "
                "made of; the tokenizer belongs to another model."
            )


def load_causal_yes_no(
    folder: Path,
    *,
    name: str,
    options: LoadOptions = BY_THE_CARD,
    named_by_catalog: bool = False,
    activation: Activation = SIGMOID,
) -> CausalYesNo:
    """Load a checkpoint folder; models.selfcheck is the caller's next step.

    Args and errors: as models.cross_encoder.load_cross_encoder().
    """
    from rerankd.models.decoder_checkpoint import open_decoder

    checkpoint = open_decoder(folder)
    config, tokenizer = checkpoint.config, checkpoint.tokenizer
    recipe = RECIPES[config.architecture]
    check_specials(tokenizer, recipe, folder)
    yes, no = starmap(answer_id, ((tokenizer, each, folder) for each in (recipe.yes, recipe.no)))
    window = window_tokens(
        folder,
        options.window_tokens,
        recipe=WINDOW_TOKENS,
        positions=checkpoint.config.max_length,
        said=checkpoint.model_max_length,
    )
    shift = _shift(recipe, name, activation) if named_by_catalog else 0.0
    score = f"{activation.of(recipe.logit)}{f' minus {shift:g}, as published' if shift else ''}"
    encoder = TextEncoder(tokenizer)
    card = ModelCard(
        name=name,
        family=CAUSAL_YES_NO,
        window_tokens=window,
        score=f"{score}, of the document's best chunk",
        activation=activation,
        named_by_catalog=named_by_catalog,
        notes=encoder.notes,
    )
    engine = decoder_engine(config, checkpoint.weights, options, yes=yes, no=no)
    return CausalYesNo(card, engine, encoder, recipe)
