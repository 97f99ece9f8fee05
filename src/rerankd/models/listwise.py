"""Rerankers that read query and documents in one prompt: jina-reranker-v3 and v3.5.

A row is a prompt, one block of a request's documents in their order; its engine gives a vector per
document and the query's. Scores depend on all documents of the request and on their order, so that
nothing of a request is kept for another one. Documents are cut, never chunked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from rerankd.core.errors import InvalidRequest, QueryTooLong, StartError
from rerankd.core.meter import Meter
from rerankd.core.options import asked_precision
from rerankd.core.request import Content, RerankRequest
from rerankd.core.rows import Logits, Prepared, Row, TokenIds
from rerankd.engines.base import ListwiseEngine
from rerankd.models.activation import COSINE, SIGMOID
from rerankd.models.base import ModelCard, query_warnings
from rerankd.models.documents import check_text, check_texts, document_names
from rerankd.models.families import LISTWISE
from rerankd.models.listwise_checkpoint import ListwiseCheckpoint, open_listwise
from rerankd.models.listwise_fusion import fused
from rerankd.models.listwise_recipes import DOCUMENT_MARK, START, blocks
from rerankd.models.loaders import Opening
from rerankd.models.text_encoder import TextEncoder

# Of one prompt, unless the operator sets another window: 7.5 GB of keys and values of v3. The
# published code takes 131,072 tokens.
WINDOW_TOKENS: Final = 32_768


@dataclass(frozen=True, slots=True)
class _Text:
    """What is read of a text."""

    value: str
    tokens: int
    is_cut: bool


class Listwise:
    """A loaded listwise reranker; see models.base.ListwiseModel."""

    def __init__(
        self,
        card: ModelCard,
        engine: ListwiseEngine,
        encoder: TextEncoder,
        checkpoint: ListwiseCheckpoint,
    ) -> None:
        """Put the parts together.

        Args:
            card: card.window_tokens is the longest prompt.
            engine: gives the vectors of a prompt.
            encoder: of texts.
            checkpoint: whose recipe, tokenizer and limits.
        """
        self.card = card
        self.engine = engine
        self._encoder = encoder
        self._tokenizer = checkpoint.tokenizer
        self._recipe = checkpoint.recipe
        self._max_length = checkpoint.max_length
        self._mark = checkpoint.mark
        self._window = card.window_tokens or checkpoint.config.decoder.max_length

    def prepare(self, request: RerankRequest, meter: Meter | None = None) -> Prepared:
        """Cut query and documents, put these into blocks, and make a prompt of each.

        Special tokens that a text spells out are read as such, as the published code does; those
        that mark what is read are taken out of it.
        """
        meter = meter or Meter()
        check_texts(request, self.card)
        if request.instruction is not None:
            check_text("instruction", Content(value=request.instruction), self.card)
        query, said = self._query(request, meter)
        documents = self._documents(request, meter)
        rows: list[Row] = []
        starts: list[int] = []
        lengths = [document.tokens for document in documents]
        for start, end in blocks(self._recipe, lengths, query.tokens, self._max_length):
            texts = [document.value for document in documents[start:end]]
            prompt = self._recipe.prompt(query.value, texts, request.instruction)
            ids = self._encoder.encode(prompt, "documents", meter.check)
            self._check(ids, start, end)
            meter.add(ids.size)
            rows.append(Row(ids, ids.size))
            starts.append(start)
        truncated = frozenset(i for i, document in enumerate(documents) if document.is_cut)
        if truncated:
            cut = f"{len(truncated)} of {len(documents)} documents were cut: at most "
            said += (f"{cut}{self._document_limit(request)} tokens of each are read.",)
        return Prepared(rows=tuple(rows), owners=tuple(starts), truncated=truncated, warnings=said)

    def document_scores(self, outputs: Sequence[Logits]) -> list[float]:
        """Cosines with the query's vector, that of all blocks."""
        return fused(outputs).tolist()

    def relevance(self, logit: float) -> float:
        """The cosine itself, as published."""
        return self.card.activation(logit)

    def _query(self, request: RerankRequest, meter: Meter) -> tuple[_Text, tuple[str, ...]]:
        """The query, cut where the request says so, and what the caller is told.

        Raises:
            QueryTooLong: it is longer than the model reads.
        """
        ids = self._encoder.encode(request.query.value, "query", meter.check)
        most, limit = request.max_tokens_per_query, self._recipe.query_tokens
        is_cut = most is not None and ids.size > most
        said = query_warnings(request, is_cut=is_cut)
        kept = ids[:most]
        if kept.size > limit and not request.truncate_query:
            raise QueryTooLong(
                f"query has {kept.size} tokens; {self.card.name} reads at most {limit}. Shorten "
                "it, or set truncate_query to true.",
                tokens=int(kept.size),
                limit=limit,
            )
        if kept.size > limit:
            said = (f"query: cut to its first {limit} tokens: {self.card.name} takes no more.",)
        return self._read(request.query.value, ids, min(limit, most or limit)), said

    def _documents(self, request: RerankRequest, meter: Meter) -> list[_Text]:
        """What is read of each document.

        Raises:
            InvalidRequest: one would be cut, and truncation is off.
        """
        limit = self._document_limit(request)
        found: list[_Text] = []
        texts = [document.value for document in request.documents]
        encoded = self._encoder.stream(
            texts,
            document_names(request),
            meter.check,
            enough=limit if request.truncation else None,
        )
        for index, (text, each) in enumerate(zip(texts, encoded, strict=True)):
            if each.ids.size > limit and not request.truncation:
                raise InvalidRequest(
                    f"documents[{index}] has {each.ids.size} tokens, but only {limit} would be "
                    "read and truncation is off. Shorten it, or set truncation to true.",
                    param="documents",
                )
            found.append(self._read(text, each.ids, limit))
        return found

    def _document_limit(self, request: RerankRequest) -> int:
        """Tokens of a document that are read at most."""
        limit = self._recipe.document_tokens
        return min(limit, request.max_tokens_per_doc or limit)

    def _read(self, text: str, ids: TokenIds, limit: int) -> _Text:
        """A text of at most so many tokens; as published, one that has them is decoded anew."""
        if ids.size < limit:
            return _Text(text, int(ids.size), is_cut=False)
        kept = self._tokenizer.decode(ids[:limit].tolist(), skip_special_tokens=False)
        return _Text(kept, limit, is_cut=ids.size > limit)

    def _check(self, ids: TokenIds, start: int, end: int) -> None:
        """Whether the prompt of documents [start, end) can be run.

        Raises:
            InvalidRequest: it is over the window, or a text reads as a mark.
        """
        if ids.size > self._window:
            held = self.engine.info.slice_bytes
            raise InvalidRequest(
                f"documents[{start}] and the {end - start - 1} behind it are {ids.size} tokens in "
                f"one prompt; {self.card.name} takes at most {self._window} here (window_tokens; "
                f"each holds {held} bytes until the answer). Send fewer or shorter documents, or "
                "set max_tokens_per_doc.",
                param="documents",
            )
        if int((ids == self._mark).sum()) != end - start:
            raise InvalidRequest(
                f"documents[{start}] and the {end - start - 1} behind it, or the query, hold text "
                f"that reads as {DOCUMENT_MARK}, which only the prompt may set. Remove it.",
                param="documents",
            )


def load_listwise(opening: Opening) -> Listwise:
    """Load a checkpoint folder; models.selfcheck is the caller's next step.

    Raises:
        StartError: it is damaged or asks for what is not computed here, or `engine`,
            `quantization` or `streams` are set to what such a model does not have.
    """
    from rerankd.engines.build import listwise_engine

    said = opening.word.activation_fn
    if said is not None and opening.activation == SIGMOID and not opening.named_by_catalog:
        raise StartError(
            f"{opening.folder / said[0]}: {said[1]} is a sigmoid; the score of a listwise model is "
            'its cosine. Remove it, or set score = "cosine" in [model."NAME"].'
        )
    # int8 matrices are made of the tensors, one by one, and nothing else holds them
    are_kept = asked_precision(opening.options) != "int8"
    checkpoint = open_listwise(opening.folder, are_kept=are_kept)
    encoder = TextEncoder(checkpoint.tokenizer)
    engine = listwise_engine(
        checkpoint.config,
        checkpoint.weights,
        opening.options,
        mark=checkpoint.mark,
        start=encoder.encode(START, "query"),
    )
    if engine.info.precision == "int8":
        checkpoint.weights.let_go()  # of matrices it has its own
    card = ModelCard(
        name=opening.name,
        family=LISTWISE,
        window_tokens=_window(opening, checkpoint),
        score=COSINE.of("listwise: the cosine of the document's and the query's vectors")
        + ", both of which depend on all documents of the request and on their order",
        activation=COSINE,
        named_by_catalog=opening.named_by_catalog,
        notes=encoder.notes,
    )
    return Listwise(card, engine, encoder, checkpoint)


def _window(opening: Opening, checkpoint: ListwiseCheckpoint) -> int:
    """Tokens of the longest prompt. Raises StartError over the model's positions."""
    most = checkpoint.config.decoder.max_length  # the published code asks no tokenizer here
    window = opening.options.window_tokens or min(most, WINDOW_TOKENS)
    if window > most:
        raise StartError(
            f"{opening.folder}: a window of {window} tokens is not possible; the model takes "
            f"{most}."
        )
    return window
