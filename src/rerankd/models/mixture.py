"""From the features of a pair to log-odds: a linear head whose weights depend on the query.

An English encoder knows nothing of Chinese; so how much its vectors weigh depends on how much of
the query its vocabulary covers. Of the query alone: documents of one list would otherwise be judged
by different weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from rerankd.core.rows import Logits, Scores, TokenIds
from rerankd.engines.late_interaction import Text

# What a word piece is: bits of ForeignShare.kinds.
COUNTED, FOREIGN, OTHER_SCRIPT = 1, 2, 4
# Each query is taken to have two more pieces, as foreign as those of English text are.
SMOOTHING: Final = 2.0
ENGLISH_SHARE: Final = 0.08
_WEIGHED: Final = 1024  # foreign shares whose weights are held; queries have few different ones


@dataclass(frozen=True, slots=True)
class PairView:
    """How a pair is looked at."""

    sees: tuple[bool, ...]  # whether each of the engine's encoders sees it
    given: tuple[float, ...]  # its last features


class Head(Protocol):
    """What a late-interaction model makes of texts and features."""

    def measure(self, pieces: Sequence[TokenIds]) -> tuple[float, ...]:
        """Text.measured, of a text's word pieces by each encoder's tokenizer."""
        ...

    def views(self, query: Text, documents: Sequence[Text]) -> Sequence[PairView]:
        """Of each pair, by what was measured of its two texts alone."""
        ...

    def __call__(self, features: Logits) -> Scores:
        """Log-odds of rows, (B, K) -> (B,), each independent of the others."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class ForeignShare:
    """How little of a query an English vocabulary covers."""

    kinds: npt.NDArray[np.uint8]  # (V,), COUNTED | FOREIGN | OTHER_SCRIPT of each word piece

    def __call__(self, pieces: TokenIds) -> float:
        """In [0, 1].

        The share of the pieces that do not begin a word of the vocabulary, smoothed so that one
        rare English name does not make a short query foreign; or the share that is of another
        script or unknown, if larger.
        """
        kinds = self.kinds[pieces]
        counted = int(np.count_nonzero(kinds & COUNTED))
        foreign = int(np.count_nonzero(kinds & FOREIGN))
        other = int(np.count_nonzero(kinds & OTHER_SCRIPT))
        smoothed = (foreign + SMOOTHING * ENGLISH_SHARE) / (counted + SMOOTHING)
        return max(smoothed, other / max(counted, 1))


@dataclass(frozen=True, slots=True, eq=False)
class Mixture:
    """Weights by the query's foreign share: linear between the knots, constant beyond them."""

    foreign_share: ForeignShare  # what a row brings along: its last feature
    knots: Scores  # (n,) rising foreign shares
    weights: Scores  # (n, K - 1), of the other features, >= 0: more of a feature never hurts
    bias: Scores  # (n,)
    # By the foreign share: bias and weights, (K,), of queries that were asked of late.
    _weighed: dict[float, Scores] = field(default_factory=dict[float, Scores], init=False)

    def measure(self, pieces: Sequence[TokenIds]) -> tuple[float, ...]:
        """The text's foreign share."""
        return (self.foreign_share(pieces[0]),)

    def views(self, query: Text, documents: Sequence[Text]) -> Sequence[PairView]:
        """One encoder, which sees every pair; the query's foreign share."""
        return [PairView((True,), query.measured)] * len(documents)

    def __call__(self, features: Logits) -> Scores:
        """Log-odds of rows, (B, K) -> (B,), each independent of the others; of float32's values.

        In 64 bits until the sum is made: two machines may differ in the last bits of a feature, and
        pairs that differ only there are to tie.
        """
        foreign = features[:, -1]
        shares = set(foreign.tolist())
        if len(shares) == 1:  # rows of one query, as usual
            return self._of_one(shares.pop(), features)
        out = np.interp(foreign, self.knots, self.bias)
        for i in range(self.weights.shape[1]):  # one by one: a product of matrices depends on B
            out += np.interp(foreign, self.knots, self.weights[:, i]) * features[:, i]
        return out.astype(np.float32).astype(np.float64)

    def _of_one(self, foreign: float, features: Logits) -> Scores:
        """As __call__(), of rows with one foreign share: the same numbers, bit for bit."""
        weighed = self._weighed.get(foreign)
        if weighed is None:
            columns = [self.bias, *self.weights.T]
            weighed = np.array([np.interp(foreign, self.knots, column) for column in columns])
            if len(self._weighed) >= _WEIGHED:
                self._weighed.clear()
            self._weighed[foreign] = weighed
        parts = np.empty((features.shape[0], weighed.size))
        parts[:, 0] = weighed[0]
        np.multiply(features[:, :-1], weighed[1:], out=parts[:, 1:])
        # One after the other, as above: the last of the running sums.
        return np.cumsum(parts, axis=1)[:, -1].astype(np.float32).astype(np.float64)
