"""Late interaction: one row per document, word pieces for the encoders and terms for BM25.

A document is read whole, in windows of the encoder; its vectors and its pieces are remembered, so
that a document that comes again costs a few dot products.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

from rerankd.core.embedding import EmbedRequest
from rerankd.core.errors import InvalidRequest, QueryTooLong
from rerankd.core.explanation import Match, Span
from rerankd.core.meter import Meter
from rerankd.core.request import RerankRequest
from rerankd.core.rows import Logits, Prepared, PreparedTexts, Row, Scores
from rerankd.core.score import sigmoid
from rerankd.engines.base import Engine
from rerankd.engines.late_interaction import LateInteractionEngine, Text, text_row
from rerankd.engines.lexical import IdfTable
from rerankd.engines.vector_cache import ByteCache
from rerankd.models.base import Matcher, ModelCard, RowCollector, query_warnings
from rerankd.models.documents import (
    check_texts,
    cut_warnings,
    document_names,
)
from rerankd.models.meaning_matches import QUERY_TOKENS, ReadText, meaning_matches
from rerankd.models.mixture import Head
from rerankd.models.segment import Segmenter
from rerankd.models.text_encoder import TextEncoder
from rerankd.models.text_parts import Check, in_slices
from rerankd.models.text_windows import TextWindows
from rerankd.models.word_matches import QueryWords, joined

MAX_QUERY_PIECES: Final = 1024  # every one of them is compared with every document token


@dataclass(frozen=True, slots=True, kw_only=True)
class TextReading:
    """How a model reads texts."""

    encoders: Sequence[TextEncoder]  # one for each token encoder of the engine
    # Of a document that the encoder sees at once; max_chunks_per_doc counts these windows.
    window_pieces: int
    single: TextWindows  # of texts that are embedded


class LateInteractionModel:
    """A loaded late-interaction model; see models.base.Model."""

    def __init__(
        self,
        card: ModelCard,
        engine: LateInteractionEngine,
        reading: TextReading,
        head: Head,
        *,
        cache_bytes: int,
    ) -> None:
        """Put the parts together.

        Args:
            card: its score is the logistic function of the log-odds.
            engine: its rows bring what the head gives them.
            reading: of texts.
            head: from texts to what sees them, from the engine's features to log-odds.
            cache_bytes: what the word pieces and terms of texts may take in memory.
        """
        self.card = card
        self._engine = engine
        self._encoders = tuple(reading.encoders)
        self._window_pieces = reading.window_pieces
        self._single = reading.single
        self._head = head
        self._segmenter = Segmenter()
        self._texts: ByteCache[Text] = ByteCache(cache_bytes)
        self._lock = threading.Lock()  # of _texts

    @property
    def engine(self) -> Engine:
        """The encoders behind this model."""
        return self._engine

    @property
    def dimensions(self) -> int:
        """Of the vectors of single texts."""
        return self._single.dimensions

    @property
    def is_unit(self) -> bool:
        """They have length 1."""
        return True

    @property
    def gives_raw(self) -> bool:
        """They have it from the encoder on."""
        return False

    def prepare_texts(self, request: EmbedRequest, meter: Meter) -> PreparedTexts:
        """One row per text, for the encoder that embeds."""
        return self._single.prepare(request, meter)

    def prepare(self, request: RerankRequest, meter: Meter | None = None) -> Prepared:
        """One row per document. Thread-safe.

        A token is a word piece that an encoder sees, special tokens not counted. A document that is
        cut, by max_tokens_per_doc or by max_chunks_per_doc windows, is scored as the text that is
        left. overlap_tokens does nothing: windows do not overlap, since every token is compared.

        Raises:
            InvalidRequest: the query has more than MAX_QUERY_PIECES; or truncation is off and a
                document would be cut.
        """
        rows = RowCollector(meter)
        check_texts(request, self.card)
        asked = self._texts_of([request.query.value], ["query"], rows.check, request.scope)[0]
        query, query_end, most = asked, None, request.max_tokens_per_query
        if most is not None and asked.longest > most:
            query, left = self._beginning(
                request.query.value, asked, most, request.scope, rows.check
            )
            query_end = len(left)
        if query.longest > MAX_QUERY_PIECES:
            raise QueryTooLong(
                f"query has {query.longest} tokens; {self.card.name} takes at most "
                f"{MAX_QUERY_PIECES}. Shorten the query.",
                tokens=query.longest,
                limit=MAX_QUERY_PIECES,
            )
        limit = self._limit(request)
        index, names = 0, document_names(request)
        for part in in_slices([document.value for document in request.documents]):
            rows.check()
            part_names = names[index : index + len(part)]
            whole_texts = self._texts_of(part, part_names, rows.check, request.scope)
            views = self._head.views(query, whole_texts)
            for value, whole, view in zip(part, whole_texts, views, strict=True):
                document, is_cut, spans = whole, False, list[Span]()
                if whole.longest > limit:
                    document = whole.seen_by(view.sees)
                    is_cut = document.longest > limit
                if is_cut:
                    document, left = self._cut(value, document, limit, request, index, rows.check)
                    spans = [(0, len(left))]
                made = text_row(query, document, view.given, view.sees)
                rows.add(index, [made], is_cut=is_cut, spans=spans)
                index += 1
        cut = query_warnings(request, is_cut=query is not asked)
        warnings = (*cut, *self._warnings(request, rows.truncated))
        return rows.prepared(warnings, query_end=query_end)

    def prepare_known(self, request: RerankRequest, meter: Meter) -> Prepared | None:
        """See models.base.RemembersTexts; None as well where a text is cut, or refused."""
        check_texts(request, self.card)
        query = self._known([request.query.value], request.scope)
        most = request.max_tokens_per_query or MAX_QUERY_PIECES
        if not query or query[0].longest > min(MAX_QUERY_PIECES, most):
            return None
        documents = self._known([document.value for document in request.documents], request.scope)
        limit = self._limit(request)
        if not documents or max([document.longest for document in documents]) > limit:
            return None
        views = self._head.views(query[0], documents)
        rows = tuple(
            [
                text_row(query[0], document, view.given, view.sees)
                for document, view in zip(documents, views, strict=True)
            ]
        )
        meter.add(sum([row.counted for row in rows]))
        warnings = self._warnings(request, set())
        return Prepared(rows=rows, owners=tuple(range(len(rows))), warnings=warnings)

    def logit(self, logits: Logits) -> Scores:
        """The log-odds of the features, shape (B, K) -> (B,)."""
        return self._head(logits)

    def relevance(self, logit: float) -> float:
        """The logistic function of the log-odds."""
        return sigmoid(logit)

    def parts(self, output: Logits) -> Mapping[str, float]:
        """The features that the head weighs, by name."""
        return dict(zip(self._engine.layout, output.tolist(), strict=True))

    def matcher(self, query: str, check: Check) -> Matcher:
        """Words that both texts have, then others that an encoder finds alike."""
        words = QueryWords(self._segmenter, IdfTable.shipped(), query, check)
        asked = [ReadText(each, query, ahead=QUERY_TOKENS) for each in self._encoders]

        def matches(row: Row, document: str, read: Span) -> Sequence[Match]:
            text = document[: read[1]]
            equal, found = words.matches(text), self._engine.alignment(row)
            if found is None:
                return equal
            its = ReadText(self._encoders[found.encoder], text)
            return joined(equal, meaning_matches(found.pairs, asked[found.encoder], its, check))

        return matches

    def _limit(self, request: RerankRequest) -> int:
        """Word pieces of a document that are read."""
        limit = request.max_chunks_per_doc * self._window_pieces
        most = request.max_tokens_per_doc
        return limit if most is None else min(limit, most)

    def _known(self, values: Sequence[str], scope: bytes) -> list[Text]:
        """What is kept of texts; of none of them unless it is of all."""
        with self._lock:
            found = [text for value in values if (text := self._texts.get(_key(value, scope)))]
        return found if len(found) == len(values) else []

    def _texts_of(
        self, values: Sequence[str], names: Sequence[str], check: Check, scope: bytes
    ) -> list[Text]:
        """Pieces and terms of each text, made once per text and scope while remembered."""
        keys = [_key(value, scope) for value in values]
        with self._lock:
            known = [text for key in keys if (text := self._texts.get(key)) is not None]
        if len(known) == len(keys):  # no tokenizer is asked
            return known
        found = {text.key: text for text in known}
        missing = {k: i for i, k in enumerate(keys) if k not in found}
        some = [values[i] for i in missing.values()]
        its = [names[i] for i in missing.values()]
        encoded = zip(*(each.stream(some, its, check) for each in self._encoders), strict=True)
        for key, value, each in zip(missing, some, encoded, strict=True):
            pieces = tuple(one.ids for one in each)
            terms = self._segmenter.ids(value, check)
            found[key] = Text(pieces, terms, key, self._head.measure(pieces))
        with self._lock:
            for key in missing:
                self._texts.put(key, found[key], found[key].nbytes)
        return [found[key] for key in keys]

    def _cut(
        self,
        value: str,
        whole: Text,
        limit: int,
        request: RerankRequest,
        index: int,
        check: Check,
    ) -> tuple[Text, str]:
        """A document's beginning, as _beginning().

        Raises:
            InvalidRequest: truncation is off.
        """
        if not request.truncation:
            raise InvalidRequest(
                f"documents[{index}] has {whole.longest} tokens, but only {limit} would be "
                "read and truncation is off. Shorten it, raise max_chunks_per_doc or "
                "max_tokens_per_doc, or set truncation to true.",
                param="documents",
            )
        return self._beginning(value, whole, limit, request.scope, check)

    def _beginning(
        self, value: str, whole: Text, limit: int, scope: bytes, check: Check
    ) -> tuple[Text, str]:
        """A text's beginning: what its first `limit` pieces cover, where it has the most of them.

        With its terms and, for other encoders that see it, its pieces.
        """
        most = _longest(whole)
        left = self._encoders[most].covered(value, limit, check)
        pieces = [
            None if one is None else one[:limit] if i == most else each.encode(left, "text", check)
            for i, (one, each) in enumerate(zip(whole.pieces, self._encoders, strict=True))
        ]
        terms = self._segmenter.ids(left, check)
        return Text(tuple(pieces), terms, _key(value, scope, limit), whole.measured), left

    def _warnings(self, request: RerankRequest, truncated: set[int]) -> tuple[str, ...]:
        warnings: list[str] = []
        if request.instruction is not None:
            warnings.append(f"{self.card.name} has no place for an instruction; it was ignored.")
        return (*warnings, *cut_warnings(request, truncated))


def _longest(whole: Text) -> int:
    """The encoder that has the most pieces of a text."""
    sizes = [-1 if pieces is None else pieces.size for pieces in whole.pieces]
    return sizes.index(max(sizes))


def _key(value: str, scope: bytes, limit: int = 0) -> bytes:
    """Equal for equal texts of one scope, cut equally, only: 128 bits of BLAKE2b."""
    return blake2b(value.encode(), digest_size=16, salt=limit.to_bytes(8), person=scope).digest()
