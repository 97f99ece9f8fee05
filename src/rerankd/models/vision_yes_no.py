"""Qwen3-VL-Reranker: a vision-language model that answers yes or no about a pair.

A row is the published prompt up to where the answer would stand; its logit is yes minus no. A text
document is cut into chunks and scores as its best one (core.rank). A picture is never cut, nor is
the query, unless the request says so: what does not fit the window is refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import compress, starmap
from pathlib import Path
from typing import Final

import numpy as np

from rerankd.core.errors import InvalidRequest
from rerankd.core.meter import Meter
from rerankd.core.options import BY_THE_CARD, LoadOptions
from rerankd.core.request import Content, RerankRequest
from rerankd.core.rows import Logits, Prepared, Row, Scores, TokenIds
from rerankd.engines.base import Engine
from rerankd.engines.build import vision_engine
from rerankd.models.activation import SIGMOID, Activation
from rerankd.models.base import ModelCard, RowCollector
from rerankd.models.causal_yes_no import query_cut
from rerankd.models.decoder_prompt import answer_id
from rerankd.models.documents import (
    CutDocument,
    check_text,
    chunk_places,
    cut_document,
    cut_warnings,
    document_names,
    tokens_read,
)
from rerankd.models.families import VISION_YES_NO
from rerankd.models.prompt_window import PromptWindow, window_tokens
from rerankd.models.text_encoder import Encoded, TextEncoder
from rerankd.models.vision_checkpoint import open_vision
from rerankd.models.vision_pixels import (
    SAMPLING,
    ProcessedMedia,
    process_image,
    process_video,
    require_pillow,
)
from rerankd.models.vision_prompt import (
    AFTER,
    DEFAULT_INSTRUCTION,
    DOCUMENT,
    INSTRUCT,
    NO,
    QUERY,
    SYSTEM,
    YES,
    Draft,
    VisionTokens,
)

WINDOW_TOKENS: Final = 10_245  # of the recipe: 10240, and the five that open the answer


class VisionYesNo:
    """A loaded Qwen3-VL-Reranker; see models.base.Model."""

    def __init__(
        self, card: ModelCard, engine: Engine, encoder: TextEncoder, tokens: VisionTokens
    ) -> None:
        """Put the parts together.

        Args:
            card: card.window_tokens is the longest row.
            engine: answers with K = 1 label, yes minus no.
            encoder: of texts.
            tokens: ids around and in a picture.

        Raises:
            StartError: the window has no room for the template.
        """
        self.card = card
        self.engine = engine
        self._encoder = encoder
        self._tokens = tokens
        self._after = self._encode(AFTER)
        self._window = PromptWindow(card.name, card.window_tokens or WINDOW_TOKENS)
        self._window.check_template(self._fixed_tokens(None))

    def with_window(self, window_tokens: int) -> VisionYesNo:
        """The same model and engine with another window."""
        card = replace(self.card, window_tokens=window_tokens)
        return VisionYesNo(card, self.engine, self._encoder, self._tokens)

    def prepare(self, request: RerankRequest, meter: Meter | None = None) -> Prepared:
        """Put every document behind its query; resize pictures; cut texts into chunks.

        Special tokens that a text spells out are read as such, as the published code does; those of
        pictures stand for no picture then.
        """
        rows = RowCollector(meter)
        request, said = query_cut(request, self._encoder, rows.check)
        self._check(request)
        processor = _Processor()
        head = self._head(request, processor)
        texts = self._encodings(request, head.pending, rows)
        for index, document in enumerate(request.documents):
            if document.modality == "text":
                made, cut = self._text_rows(request, index, head, next(texts))
                spans = chunk_places(
                    request, self._encoder, document.value, cut, rows.check, before=head.pending
                )
                rows.add(index, made, is_cut=cut.is_cut, spans=spans)
            else:
                rows.check()
                media = processor(f"documents[{index}]", document)
                rows.add(index, [self._media_row(request, index, head, media)], is_cut=False)
        return rows.prepared((*said, *cut_warnings(request, rows.truncated)))

    def logit(self, logits: Logits) -> Scores:
        """Yes minus no."""
        return logits[:, 0].astype(np.float64)

    def relevance(self, logit: float) -> float:
        """The card's activation of the logit."""
        return self.card.activation(logit)

    def _head(self, request: RerankRequest, processor: _Processor) -> Draft:
        """What all rows of a request start with; its last text waits for the document's."""
        head = Draft(self._encode, self._tokens)
        head.write(SYSTEM)
        head.flush()
        head.write(INSTRUCT + (request.instruction or DEFAULT_INSTRUCTION) + QUERY)
        if request.query.modality == "text":
            head.write(request.query.value)
        else:
            head.add_media(processor("query", request.query))
        head.write(DOCUMENT)
        return head

    def _encodings(
        self, request: RerankRequest, waiting: str, rows: RowCollector
    ) -> Iterator[Encoded]:
        """Every text document behind what waits for it, as one string, some at a time."""
        is_text = [each.modality == "text" for each in request.documents]
        return self._encoder.stream(
            [each.value for each in compress(request.documents, is_text)],
            list(compress(document_names(request), is_text)),
            rows.check,
            before=waiting,
            enough=tokens_read(request, self._window.tokens),
        )

    def _text_rows(
        self, request: RerankRequest, index: int, head: Draft, encoded: Encoded
    ) -> tuple[list[Row], CutDocument]:
        """The rows of a text document, and how it was cut."""
        ids, first = encoded.ids, encoded.first
        before = np.concatenate([head.ids, ids[:first]])
        room = self._window.tokens - before.size - self._after.size
        if room < 1:
            raise self._no_room(request, before.size)
        cut = cut_document(ids[first:], room, request, index)
        return [self._row(head, before, chunk) for chunk in cut.chunks], cut

    def _media_row(
        self, request: RerankRequest, index: int, head: Draft, media: ProcessedMedia
    ) -> Row:
        """The row of an image or a video, whole."""
        draft = head.copy()
        draft.flush()
        before = draft.size
        if before + self._after.size >= self._window.tokens:
            raise self._no_room(request, before)
        draft.add_media(media)
        tokens = draft.size + self._after.size
        if tokens > self._window.tokens:
            name = f"documents[{index}]"
            raise InvalidRequest(
                f"{name} takes {draft.size - before} tokens and the query with its template "
                f"{before + self._after.size}; together {self.card.name} reads "
                f"{self._window.tokens}. "
                "Send a smaller picture or a shorter video.",
                param=name,
            )
        return self._row(draft, draft.ids, np.empty(0, dtype=np.int32))

    def _row(self, draft: Draft, before: TokenIds, chunk: TokenIds) -> Row:
        ids = np.concatenate([before, chunk, self._after])
        return Row(ids, ids.size, visuals=tuple(draft.placed))

    def _encode(self, text: str, name: str = "query") -> TokenIds:
        return self._encoder.encode(text, name)

    def _fixed_tokens(self, instruction: str | None) -> int:
        """Tokens of a row without query and document."""
        asked = instruction or DEFAULT_INSTRUCTION
        whole = self._encode(SYSTEM + INSTRUCT + asked + QUERY + DOCUMENT)
        return whole.size + self._after.size

    def _check(self, request: RerankRequest) -> None:
        """What can be checked before any document is processed.

        A text query may take 3/4 of the window, and the instruction what that leaves.

        Raises:
            InvalidRequest: naming the field, the limit and the way out.
        """
        fields = [("query", request.query)]
        fields += [(f"documents[{i}]", document) for i, document in enumerate(request.documents)]
        if request.instruction is not None:
            fields.append(("instruction", Content(value=request.instruction)))
        for name, content in fields:
            if content.modality == "text":
                check_text(name, content, self.card)
        fixed = self._fixed_tokens(request.instruction)
        if fixed > self._window.most:
            tokens = self._encode(request.instruction or "", "instruction").size
            raise self._window.instruction_too_long(fixed, tokens)
        if request.query.modality == "text":
            tokens = self._encode(request.query.value).size
            limit = self._window.query_limit(fixed)
            if tokens > limit:
                raise self._window.too_long(tokens, limit)

    def _no_room(self, request: RerankRequest, tokens: int) -> InvalidRequest:
        """The query, with its template, leaves nothing for a document."""
        limit = self._window.tokens - self._after.size - 1
        is_text = request.query.modality == "text"
        way_out = "Shorten the query." if is_text else "Send a smaller picture or a shorter video."
        return self._window.too_long(tokens, limit, what="query with its template", way_out=way_out)


class _Processor:
    """Resizes the images and videos of a request, each once, however often it is sent."""

    def __init__(self) -> None:
        self._processed: dict[tuple[str, bytes], ProcessedMedia] = {}

    def __call__(self, name: str, content: Content) -> ProcessedMedia:
        """A content's image or video, ready for a row.

        Raises:
            InvalidRequest: it cannot be read; the message says which and why.
        """
        media = content.media
        if media is None:
            raise InvalidRequest(
                f"{name} is {content.modality}, but what it refers to was not read here.",
                param=name,
            )
        known = self._processed.get((content.modality, media.digest))
        if known is not None:
            return known
        try:
            process = process_image if content.modality == "image" else process_video
            processed = process(media)
        except ValueError as error:
            raise InvalidRequest(
                f"{name}: the {content.modality} is {media.width} by {media.height} pixels: "
                f"{error}. Crop it.",
                param=name,
            ) from error
        self._processed[content.modality, media.digest] = processed
        return processed


LOGIT = 'the logit of "yes" minus that of "no"'


def load_vision_yes_no(
    folder: Path,
    *,
    name: str,
    options: LoadOptions = BY_THE_CARD,
    named_by_catalog: bool = False,
    activation: Activation = SIGMOID,
) -> VisionYesNo:
    """Load a checkpoint folder; models.selfcheck is the caller's next step.

    The engine is torch, whether the operator chose it or nothing.

    Args and errors: as models.cross_encoder.load_cross_encoder().
    """
    require_pillow()
    checkpoint = open_vision(folder)
    tokenizer, encoder = checkpoint.tokenizer, TextEncoder(checkpoint.tokenizer)
    yes, no = starmap(answer_id, ((tokenizer, each, folder) for each in (YES, NO)))
    window = window_tokens(
        folder,
        options.window_tokens,
        recipe=WINDOW_TOKENS,
        positions=checkpoint.config.max_length,
        said=checkpoint.model_max_length,
    )
    card = ModelCard(
        name=name,
        family=VISION_YES_NO,
        window_tokens=window,
        score=f"{activation.of(LOGIT)}, of a text document's best chunk",
        activation=activation,
        video=SAMPLING,
        named_by_catalog=named_by_catalog,
        notes=encoder.notes,
    )
    engine = vision_engine(checkpoint.config, checkpoint.weights, options, yes=yes, no=no)
    return VisionYesNo(card, engine, encoder, checkpoint.tokens)
