"""What `rerankd-multi` makes of a pair: which encoder sees it, and log-odds.

English texts are compared by an English encoder, as in rerankd-mini; every other pair by a
multilingual one. Both give log-odds of one meaning, so that a list may mix them.

An encoder that has read a hundred languages still finds two texts of one language more alike than a
text and its translation. Where a pair is seen to be of two languages, log-odds are raised by a
constant: without it an answer in another language stands behind every passage of the question's
own. Languages are told apart as far as two cheap marks do: the script of the word pieces, and how
much of a text in Latin script is English. Pairs such as German and Spanish get no such bonus.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from rerankd.core.rows import Logits, Scores, TokenIds
from rerankd.engines.late_interaction import Text
from rerankd.models.mixture import COUNTED, ENGLISH_SHARE, FOREIGN, SMOOTHING, Mixture, PairView

# What Text.measured holds.
FOREIGN_SHARE, KIND, SCRIPT = range(3)
# Kinds of text; UNSURE is too short, or too full of names, to tell.
ENGLISH, CODE, OTHER, UNSURE = range(4)
GIVEN: Final = ("foreign_share", "is_english", "crosses")

NO_SCRIPT, LATIN = 0, 1  # of the scripts of word pieces; the others only have to differ
# Shorter texts are no code, however many signs they have: "Hola!"
CODE_PIECES: Final = 20

Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Languages:
    """Tells English, code and the rest apart, and scripts; by word pieces."""

    kinds: Bytes  # (V,) of the English vocabulary: mixture.COUNTED | FOREIGN | OTHER_SCRIPT
    function_words: npt.NDArray[np.bool_]  # (V,) of the English vocabulary: the, of, and, ...
    scripts: Bytes  # (V',) of the multilingual vocabulary
    # Foreign share less twice the share of function words: below the first limit it is English,
    # from the second on another language.
    english_limit: float
    foreign_limit: float
    code_signs: float  # share of pieces without a letter or digit, of code

    def kind(self, pieces: TokenIds) -> int:
        """ENGLISH, CODE, OTHER or UNSURE, of a text in the English vocabulary's pieces."""
        kinds = self.kinds[pieces]
        counted = int(np.count_nonzero(kinds & COUNTED))
        foreign = int(np.count_nonzero(kinds & FOREIGN)) + SMOOTHING * ENGLISH_SHARE
        words = int(np.count_nonzero(self.function_words[pieces]))
        mark = (foreign - 2.0 * words) / (counted + SMOOTHING)
        signs = 1.0 - counted / max(pieces.size, 1)
        if counted >= CODE_PIECES and signs >= self.code_signs and mark < 0.5:
            return CODE
        if mark < self.english_limit:
            return ENGLISH
        return OTHER if mark >= self.foreign_limit else UNSURE

    def script(self, pieces: TokenIds) -> int:
        """The most frequent script, of a text in the multilingual vocabulary's pieces."""
        found = np.bincount(self.scripts[pieces], minlength=LATIN + 1)
        found[NO_SCRIPT] = 0
        return int(found.argmax()) if found.any() else NO_SCRIPT


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class MultiHead:
    """A models.mixture.Head of two encoders: the English one, then the multilingual one."""

    english: Mixture  # of the first features, of pairs in English
    languages: Languages
    weights: Scores  # (K - 3,) of all features but GIVEN, >= 0, of all other pairs
    bias: float
    crossing: float  # what is added where the languages differ

    def measure(self, pieces: Sequence[TokenIds]) -> tuple[float, ...]:
        """FOREIGN_SHARE, KIND, SCRIPT."""
        first, second = pieces
        return (
            self.english.foreign_share(first),
            float(self.languages.kind(first)),
            float(self.languages.script(second)),
        )

    def views(self, query: Text, documents: Sequence[Text]) -> Sequence[PairView]:
        """The English encoder's where both are in English or code, else the other's.

        An unsure question about code is taken for English, nothing else that is unsure.
        """
        share, asked, script = query.measured
        english = PairView((True, False), (share, 1.0, 0.0))
        within, across = (PairView((False, True), (share, 0.0, crosses)) for crosses in (0.0, 1.0))
        found: list[PairView] = []
        for document in documents:
            _, read, other_script = document.measured
            if _are_english(asked, read):
                found.append(english)
            else:
                crosses = _crosses((asked, script), (read, other_script))
                found.append(across if crosses else within)
        return found

    def __call__(self, features: Logits) -> Scores:
        """Log-odds of rows, (B, K) -> (B,), each independent of the others; of float32's values."""
        share, is_english, crosses = features[:, -len(GIVEN) :].T
        of_english = self.english.weights.shape[1]
        english = self.english(np.column_stack((features[:, :of_english], share)))
        out = self.bias + self.crossing * crosses
        for i, weight in enumerate(self.weights):  # one by one: a product of matrices depends on B
            out = out + weight * features[:, i]
        return np.where(is_english > 0.0, english, out.astype(np.float32).astype(np.float64))


def _are_english(asked: float, read: float) -> bool:
    """Of the kinds of a question and a document."""
    about_code = read == CODE and asked != OTHER
    return about_code or (asked in (ENGLISH, CODE) and read == ENGLISH)


def _crosses(asked: tuple[float, float], read: tuple[float, float]) -> bool:
    """Whether two texts are seen to be of two languages, by (kind, script) of each."""
    scripts = asked[1], read[1]
    if scripts == (LATIN, LATIN):
        return {asked[0], read[0]} == {ENGLISH, OTHER}
    return scripts[0] != scripts[1] and NO_SCRIPT not in scripts
