"""Late interaction on the CPU: each text is encoded once, a pair costs a few dot products.

A pair's features are BM25, coverage and phrase (engines.lexical), then those of each token encoder
(engines.token_vectors); where an encoder does not see both texts, its own are 0. Behind them stand
numbers that the row brings along. What all of them weigh is the model's (models.mixture).

Sources: Khattab & Zaharia 2020, arXiv:2004.12832 (MaxSim); Robertson & Zaragoza 2009 (BM25).
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final
from weakref import WeakKeyDictionary

import numpy as np

from rerankd.core.rows import Logits, Row, SoleText, TokenIds
from rerankd.engines import lexical, token_vectors
from rerankd.engines.alignment import Alignment
from rerankd.engines.base import EngineInfo
from rerankd.engines.cores import usable_cores
from rerankd.engines.freed import give_back
from rerankd.engines.lexical import IdfTable, LexicalWeights, LongDocument, QueryTerms
from rerankd.engines.max_sim import Floats, Wide
from rerankd.engines.token_vectors import TokenVectors

TERMS_PER_TOKEN: Final = 512  # they take as long as one piece; usual texts have two or three

# One step of a long document: 0.06 s or so, on all cores.
_STEP_TOKENS_PER_CORE: Final = 1024
# How many queries' terms are held as documents are compared with them, and of how many terms.
_QUERIES_HELD: Final = 8
_TERMS_HELD: Final = 4096
# After a row of more, what it and its text's preparation freed is given back.
_GIVE_BACK_TOKENS: Final = 32_768


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Text:
    """A query or a document as every part of the engine sees it."""

    # Word pieces without special tokens, (L,), of each encoder's tokenizer, in the engine's order;
    # None = the encoder does not see the text.
    pieces: tuple[TokenIds | None, ...]
    terms: TokenIds  # (M,) terms of models.segment
    key: bytes  # equal for equal texts only, whose pieces, where both have them, are equal
    measured: tuple[float, ...] = ()  # what the model keeps of it for its own use
    longest: int = field(init=False)  # word pieces, by the encoder with the most of them

    def __post_init__(self) -> None:
        """Count once: a list of known documents takes little more time than this."""
        longest = max((p.size for p in self.pieces if p is not None), default=0)
        object.__setattr__(self, "longest", longest)

    @property
    def nbytes(self) -> int:
        """About what it takes in memory."""
        return sum(p.nbytes for p in self.pieces if p is not None) + self.terms.nbytes + 300

    def seen_by(self, encoders: Sequence[bool]) -> Text:
        """The same text for some of the encoders."""
        if all(encoders):
            return self
        kept = zip(self.pieces, encoders, strict=True)
        return replace(self, pieces=tuple(p if sees else None for p, sees in kept))


@dataclass(frozen=True, slots=True, eq=False)
class TextRow(Row):
    """A row that carries its two texts in place of `ids`, of which it has none; see text_row()."""

    query: Text
    document: Text
    # The word pieces of both texts as each encoder sees them; None = it does not see both.
    pairs: tuple[tuple[TokenIds, TokenIds] | None, ...]
    given: tuple[float, ...]  # what the model tells its own mixture of the pair
    counted: int  # `tokens`, counted once: a list of known documents takes little more time

    @property
    def tokens(self) -> int:
        """Word pieces, or a token for each TERMS_PER_TOKEN terms where that is more.

        A text without spaces may be one piece and a million terms.
        """
        return self.counted

    def key(self) -> tuple[int, bytes]:
        """By the texts themselves: different texts may have the same word pieces."""
        return self.second, self.query.key + self.document.key

    def pieces(self, encoder: int) -> tuple[TokenIds, TokenIds] | None:
        """Both texts as one encoder sees them; None = it does not see both."""
        return self.pairs[encoder]


def text_row(
    query: Text,
    document: Text,
    given: tuple[float, ...] = (),
    sees: Sequence[bool] | None = None,
) -> TextRow:
    """The row of a pair, for the encoders that see it; without any word piece it counts as 1."""
    pairs: list[tuple[TokenIds, TokenIds] | None] = []
    asked = read = 0
    seen = sees or [True] * len(query.pieces)
    for of_query, of_document, is_seen in zip(query.pieces, document.pieces, seen, strict=True):
        if is_seen and of_query is not None and of_document is not None:
            pairs.append((of_query, of_document))
            asked += of_query.size
            read += of_document.size
        else:
            pairs.append(None)
    terms = (query.terms.size + document.terms.size) // TERMS_PER_TOKEN
    tokens = max(asked + read, terms, 1)
    return TextRow(_NO_IDS, asked, query, document, tuple(pairs), given, tokens)


_NO_IDS: Final = np.empty(0, dtype=np.int32)


class LateInteractionEngine:
    """Engine of late-interaction models; see engines.base.Engine. Takes TextRow only."""

    def __init__(
        self,
        encoders: Mapping[str, TokenVectors],
        *,
        embedder: str,
        given: Sequence[str] = (),
        slice_tokens: int | None = None,
    ) -> None:
        """Put the parts together.

        Args:
            encoders: by the name that their features have, in the order of Text.pieces.
            embedder: which of them makes the vectors of single texts.
            given: what TextRow.given holds.
            slice_tokens: rows of more run in steps of about so many; None = by the cores.
        """
        self.encoders = dict(encoders)
        self._embedder = self.encoders[embedder]
        self._table, self._weights = IdfTable.shipped(), LexicalWeights()
        # Of queries whose rows are about: a list runs in many batches.
        self.query_terms: WeakKeyDictionary[Text, QueryTerms] = WeakKeyDictionary()
        self._slice_tokens = slice_tokens or _STEP_TOKENS_PER_CORE * usable_cores()
        own = [f"{name}.{feature}" for name in encoders for feature in token_vectors.FEATURES]
        self.layout = (*lexical.FEATURES, *own, *given)  # what the K numbers of a row are
        width, first = len(token_vectors.FEATURES), len(lexical.FEATURES)
        self._columns = [slice(at, at + width) for at in range(first, first + len(own), width)]
        self._given = slice(len(self.layout) - len(given), len(self.layout))
        self._info = EngineInfo(
            name="openvino",
            device="cpu",
            precision="int8",
            max_length=None,
            batch_tokens=8192,
            slice_tokens=self._slice_tokens,
        )

    @property
    def info(self) -> EngineInfo:
        """No limit of length: a long text is encoded in windows."""
        return self._info

    def forward(self, batch: Sequence[Row]) -> Logits:
        """Features, shape (B, K), float64, K as `layout` says; a row's numbers are the same alone.

        Raises:
            EngineFailed: an encoder could not run.
            TypeError: a row is not a TextRow.
        """
        rows = [_text_row(row) for row in batch]
        out = np.zeros((len(rows), len(self.layout)))
        short = [i for i, row in enumerate(rows) if row.tokens <= self._slice_tokens]
        self._short_features(rows, short, out)
        for i in sorted(set(range(len(rows))) - set(short)):
            out[i] = _last(self._long_features(rows[i]))
        out[:, self._given] = np.array([row.given for row in rows]).reshape(len(rows), -1)
        return out

    def embed(self, batch: Sequence[SoleText]) -> Floats:
        """See engines.base.EmbeddingEngine: mean vectors, (B, h), rows of length 1."""
        return self._embedder.means([row.ids for row in batch])

    def slices(self, row: Row) -> Generator[int, None, Logits]:
        """See engines.base.Sliced: the document by groups of windows, the query in the first step.

        It holds the document's pieces and terms, one step's vectors, and those that go to the
        cache.

        Raises:
            EngineFailed: an encoder could not run.
            TypeError: the row is not a TextRow.
        """
        text = _text_row(row)
        try:
            out = yield from self._long_features(text)
        finally:
            if row.tokens > _GIVE_BACK_TOKENS:
                give_back()
        out[self._given] = text.given
        return out

    def remembered_tokens(self, batch: Sequence[Row]) -> Sequence[int]:
        """See engines.base.Remembering: the documents whose vectors are kept.

        The query's own pieces are not counted: they are encoded once, however many rows ask.
        """
        return [self._remembered(row) if isinstance(row, TextRow) else 0 for row in batch]

    def alignment(self, row: Row) -> Alignment | None:
        """Which pieces of a row's texts are most alike, to the encoder of single texts or another.

        Safe on any thread. None: no encoder that sees both has kept them.
        """
        if not isinstance(row, TextRow):
            return None
        order = sorted(
            enumerate(self.encoders.values()), key=lambda each: each[1] is not self._embedder
        )
        for number, encoder in order:
            pieces = row.pieces(number)
            if pieces is None:
                continue
            found = encoder.alignment((row.query.key, pieces[0]), (row.document.key, pieces[1]))
            if found is not None:
                return Alignment(number, found)
        return None

    def close(self) -> None:
        """Free the encoders and the vectors."""
        for encoder in self.encoders.values():
            encoder.close()

    def _remembered(self, row: TextRow) -> int:
        tokens = 0
        for i, encoder in enumerate(self.encoders.values()):
            pieces = row.pieces(i)
            if pieces is not None and row.document.key in encoder.documents:
                tokens += pieces[1].size
        return tokens

    def _short_features(self, rows: Sequence[TextRow], short: Sequence[int], out: Wide) -> None:
        """What rows that run at once have, into their places; all that is missing in one call."""
        groups: dict[bytes, list[int]] = {}
        for i in short:
            groups.setdefault(rows[i].query.key, []).append(i)
        for members in groups.values():
            asked = self._terms_of(rows[members[0]].query)
            words = asked.features_of([rows[i].document.terms for i in members])
            out[members, : words.shape[1]] = words
        for number, encoder in enumerate(self.encoders.values()):
            seen = {i: pair for i in short if (pair := rows[i].pieces(number)) is not None}
            queries = encoder.encode_queries({rows[i].query.key: q for i, (q, _) in seen.items()})
            documents = encoder.encode_documents(
                {rows[i].document.key: d for i, (_, d) in seen.items()}
            )
            for key, query in queries.items():
                own = [i for i in groups[key] if i in seen]
                vectors = [documents[rows[i].document.key] for i in own]
                out[own, self._columns[number]] = encoder.features(query, vectors)

    def _terms_of(self, query: Text) -> QueryTerms:
        """Made once for all batches of a request."""
        found = self.query_terms.get(query)
        if found is None:
            found = QueryTerms(query.terms, self._table, self._weights)
            if len(self.query_terms) >= _QUERIES_HELD:
                self.query_terms.clear()
            if query.terms.size <= _TERMS_HELD:
                self.query_terms[query] = found
        return found

    def _long_features(self, row: TextRow) -> Generator[int, None, Wide]:
        """What one row has, (K,), step by step; yields the tokens of each step."""
        query, document = row.query, row.document
        compared: list[tuple[slice, token_vectors.LongComparison]] = []
        for i, encoder in enumerate(self.encoders.values()):
            pieces = row.pieces(i)
            if pieces is not None:
                asked = encoder.encode_queries({query.key: pieces[0]})[query.key]
                found = encoder.long_document(asked, document.key, pieces[1])
                compared.append((self._columns[i], found))
        most = -(-row.tokens // self._slice_tokens)
        wanted = [each.steps(most, self._slice_tokens) for _, each in compared]
        steps = max(wanted, default=most)
        for _, each in compared:
            each.begin(steps)
        words = LongDocument(self._terms_of(query))
        for step in range(steps):
            for _, each in compared:
                each.step()
            words.add(document.terms[_share(document.terms.size, step, steps)])
            tokens = _share(row.tokens, step, steps)
            yield tokens.stop - tokens.start
        out = np.zeros(len(self.layout))
        out[: len(lexical.FEATURES)] = words.features()[0]
        for columns, each in compared:
            out[columns] = each.features()[0]
        return out


def _share(size: int, step: int, steps: int) -> slice:
    """What one of several like steps takes."""
    return slice(step * size // steps, (step + 1) * size // steps)


def _text_row(row: Row) -> TextRow:
    if not isinstance(row, TextRow):
        raise TypeError("LateInteractionEngine takes TextRow only")
    return row


def _last(steps: Generator[int, None, Wide]) -> Wide:
    """What a generator returns."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value
