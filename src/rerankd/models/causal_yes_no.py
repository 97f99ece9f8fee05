"""Decoders that score a pair behind a prompt: Qwen3-Reranker, mxbai-rerank v2, zerank and others.

A row is the prompt up to where the answer would stand. Its logit is that of one token there, mostly
minus that of another, or a classifier's. The document scores as its best chunk (core.rank). Only
the document is cut, and the query where the request says so; where a published recipe cuts every
long query, or all of a long row, ours refuses or cuts the document instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rerankd.core.errors import QueryTooLong
from rerankd.core.meter import Meter
from rerankd.core.options import BY_THE_CARD, LoadOptions, asked_precision
from rerankd.core.request import Content, RerankRequest
from rerankd.core.rows import Logits, Prepared, Row, Scores, TokenIds
from rerankd.engines.base import Engine
from rerankd.engines.build import bidirectional_engine, decoder_engine
from rerankd.models.activation import SIGMOID, Activation
from rerankd.models.base import ModelCard, RowCollector, query_warnings
from rerankd.models.decoder_prompt import NOTHING_SAID, PromptWord, decoder_prompt
from rerankd.models.documents import (
    check_text,
    check_texts,
    chunk_places,
    cut_document,
    cut_warnings,
    document_names,
    tokens_read,
)
from rerankd.models.families import CAUSAL_YES_NO, CROSS_ENCODER
from rerankd.models.prompt_recipes import Recipe
from rerankd.models.prompt_window import PromptWindow, window_tokens
from rerankd.models.text_encoder import TextEncoder
from rerankd.models.text_parts import Check

if TYPE_CHECKING:
    from tokenizers import Tokenizer

WINDOW_TOKENS = 8192  # of both published recipes; the models themselves take more


@dataclass(frozen=True, slots=True, eq=False)
class _Prompt:
    """What stands around the documents of one request."""

    start: TokenIds
    body: str  # behind it, tokenised with the document
    after: TokenIds
    after_text: str

    def row(self, head: TokenIds, chunk: TokenIds) -> Row:
        """One row; `head` is the start, and the tokens of the body that the document leaves."""
        ids = np.concatenate([head, chunk, self.after])
        return Row(ids, ids.size)


class CausalYesNo:
    """A loaded decoder reranker; see models.base.Model."""

    def __init__(
        self,
        card: ModelCard,
        engine: Engine,
        encoder: TextEncoder,
        recipe: Recipe,
        opening: TokenIds,
    ) -> None:
        """Put the parts together.

        Args:
            card: card.window_tokens is the longest row.
            engine: answers with K = 1 logit.
            encoder: of texts.
            recipe: the prompt.
            opening: ids that the tokenizer puts before every text, mostly none.

        Raises:
            StartError: the window has no room for the template.
        """
        self.card = card
        self.engine = engine
        self._encoder = encoder
        self._recipe = recipe
        self._shift = _shift(recipe, card.name, card.activation) if card.named_by_catalog else 0.0
        self._opening = opening
        self._joins = recipe.is_joined and not recipe.after[0].startswith(recipe.specials)
        self._window = PromptWindow(card.name, card.window_tokens or WINDOW_TOKENS)
        self._window.check_template(self._fixed_tokens(None))

    def with_window(self, window_tokens: int) -> CausalYesNo:
        """The same model and engine with another window."""
        card = replace(self.card, window_tokens=window_tokens)
        return CausalYesNo(card, self.engine, self._encoder, self._recipe, self._opening)

    def prepare(self, request: RerankRequest, meter: Meter | None = None) -> Prepared:
        """Encode every document behind its query, and cut the documents into chunks.

        Special tokens that a text spells out are read as such, as the published code does.
        """
        rows = RowCollector(meter)
        check_texts(request, self.card)
        if request.instruction is not None:
            check_text("instruction", Content(value=request.instruction), self.card)
        request, said = query_cut(request, self._encoder, rows.check)
        self._check_query(request)
        prompt = self._prompt(request)
        texts = [document.value for document in request.documents]
        if self._recipe.strips:
            texts = [text.strip() for text in texts]
        found = self._encoder.stream(
            texts,
            document_names(request),
            rows.check,
            before=prompt.body,
            enough=tokens_read(request, self._window.tokens),
        )
        for index, encoded in enumerate(found):
            ids, first = encoded.ids, encoded.first
            head = np.concatenate([prompt.start, ids[:first]])
            room = self._window.tokens - head.size - prompt.after.size
            if room < 1:
                raise self._query_too_long(request, self._window.tokens - prompt.after.size - 1)
            cut = cut_document(ids[first:], room, request, index)
            whole = None
            if self._joins and len(cut.chunks) == 1 and not cut.is_cut:
                whole = self._whole(prompt, texts[index], index)
            made = [prompt.row(head, chunk) for chunk in cut.chunks] if whole is None else [whole]
            blanks = self._stripped(request.documents[index].value)
            spans = [
                (start + blanks, end + blanks)
                for start, end in chunk_places(
                    request, self._encoder, texts[index], cut, rows.check, before=prompt.body
                )
            ]
            rows.add(index, made, is_cut=cut.is_cut, spans=spans)
        said = (*said, *self._ignored(request))
        return rows.prepared((*said, *cut_warnings(request, rows.truncated)))

    def _stripped(self, sent: str) -> int:
        """How many blanks before a document were left out."""
        return len(sent) - len(sent.lstrip()) if self._recipe.strips else 0

    def _ignored(self, request: RerankRequest) -> tuple[str, ...]:
        """What the caller is told of an instruction that the prompt has no place for."""
        if request.instruction is None or self._recipe.takes_instruction:
            return ()
        return (f"{self.card.name} has no place for an instruction; it was ignored.",)

    def logit(self, logits: Logits) -> Scores:
        """The engine's one logit."""
        return logits[:, 0].astype(np.float64)

    def relevance(self, logit: float) -> float:
        """The card's activation of the logit, shifted where the recipe's publisher does so."""
        return self.card.activation(logit - self._shift)

    def _prompt(self, request: RerankRequest) -> _Prompt:
        """What stands around the documents of a request."""
        query = request.query.value
        query = query.strip() if self._recipe.strips else query
        return self._prompt_of(query, request.instruction)

    def _prompt_of(self, query: str, instruction: str | None) -> _Prompt:
        before, body, after = self._recipe.texts(query, instruction)
        return _Prompt(
            start=np.concatenate([self._opening, self._apart(before)]),
            body=body,
            after=self._apart(after),
            after_text="".join(after),
        )

    def _whole(self, prompt: _Prompt, text: str, index: int) -> Row | None:
        """A document with what stands around it as one string: its end may join what follows.

        None if that does not fit the window after all.
        """
        text = f"{prompt.body}{text}{prompt.after_text}"
        ids = np.concatenate([prompt.start, self._encode(text, f"documents[{index}]")])
        return Row(ids, ids.size) if ids.size <= self._window.tokens else None

    def _apart(self, parts: Sequence[str]) -> TokenIds:
        """Parts tokenised one by one, then joined."""
        return np.concatenate([np.empty(0, np.int32), *(self._encode(part) for part in parts)])

    def _encode(self, text: str, name: str = "query") -> TokenIds:
        return self._encoder.encode(text, name)

    def _fixed_tokens(self, instruction: str | None) -> int:
        """Tokens of a row without query and document."""
        prompt = self._prompt_of("", instruction)
        return prompt.start.size + self._encode(prompt.body).size + prompt.after.size

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


def load_causal_yes_no(
    folder: Path,
    *,
    name: str,
    options: LoadOptions = BY_THE_CARD,
    named_by_catalog: bool = False,
    activation: Activation = SIGMOID,
    said: PromptWord = NOTHING_SAID,
) -> CausalYesNo:
    """Load a checkpoint folder; models.selfcheck is the caller's next step.

    Args and errors: as models.cross_encoder.load_cross_encoder(); `said` is what the catalog, the
    operator and the folder's other files say about its prompt.
    """
    from rerankd.models.decoder_checkpoint import open_decoder

    # int8 matrices are made of the tensors, one by one, and nothing else holds them
    checkpoint = open_decoder(folder, are_kept=asked_precision(options) != "int8")
    config, tokenizer = checkpoint.config, checkpoint.tokenizer
    prompt = decoder_prompt(checkpoint, said)
    window = window_tokens(
        folder,
        options.window_tokens,
        recipe=prompt.window_tokens or WINDOW_TOKENS,
        positions=checkpoint.config.max_length,
        said=checkpoint.model_max_length,
    )
    encoder = TextEncoder(tokenizer)
    shift = _shift(prompt.recipe, name, activation) if named_by_catalog else 0.0
    shifted = f" minus {shift:g}, as published" if shift else ""
    card = ModelCard(
        name=name,
        family=CAUSAL_YES_NO if checkpoint.bidirectional is None else CROSS_ENCODER,
        window_tokens=window,
        score=f"{activation.of(prompt.logit)}{shifted}, of the document's best chunk",
        activation=activation,
        named_by_catalog=named_by_catalog,
        notes=encoder.notes,
    )
    answers = prompt.answers
    if checkpoint.bidirectional is not None:
        engine = bidirectional_engine(checkpoint.bidirectional, checkpoint.weights, options)
    else:
        engine = decoder_engine(config, checkpoint.weights, options, yes=answers.yes, no=answers.no)
    if engine.info.precision == "int8":
        checkpoint.weights.let_go()  # of matrices it has its own
    return CausalYesNo(card, engine, encoder, prompt.recipe, opening_ids(tokenizer, prompt.recipe))


def opening_ids(tokenizer: Tokenizer, recipe: Recipe) -> TokenIds:
    """Ids that the tokenizer puts before a text, where the recipe has them."""
    with_specials = tokenizer.encode("a", add_special_tokens=True).ids
    bare = tokenizer.encode("a", add_special_tokens=False).ids
    count = len(with_specials) - len(bare) if recipe.has_bos else 0
    return np.asarray(with_specials[:count], dtype=np.int32)
