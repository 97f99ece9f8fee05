"""Is a loaded model fit to be served? A wrong template or a broken weight shows in its scores.

A few pairs are run as the server would run them. Works for every Model, the lexical one included. A
model that reads images is shown some: whether their scores are finite and depend on nothing but
their pair; not whether they are right, which pictures made here could not tell.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Final

import numpy as np

from rerankd.core.errors import StartError
from rerankd.core.media import Media
from rerankd.core.request import Content, RerankRequest
from rerankd.core.rows import Row, Scores
from rerankd.models.base import (
    AnyModel,
    ListwiseModel,
    Model,
    document_logits,
    outputs_of,
)

TOLERANCE: Final = 1e-4  # of logits, of one row scored beside different rows, in fp32
# In half precision every step of every layer rounds to 8 (bf16) or 11 (fp16) bits, and what a
# matrix product adds up first depends on how many rows it has; the rest is the same maths. Seen at
# most, on a CPU, over made-up models of all families (logits of standard deviation 1 to 4): 0.06 in
# bf16, 0.01 in fp16. Three to four times that is allowed.
TOLERANCES: Final = {"bf16": 0.25, "fp16": 0.03}  # by EngineInfo.precision, else TOLERANCE

# query, relevant document, irrelevant document: easy on purpose, with and without shared words
_PROBES: Final = (
    (
        "What is the capital of France?",
        "Paris is the capital and largest city of France.",
        "Whisk the eggs with sugar until the mixture is pale and thick.",
    ),
    (
        "how to boil an egg",
        "To boil an egg, put the egg in boiling water for eight minutes, then cool it.",
        (
            "The treaty was signed by both governments after a decade of negotiation about "
            "borders, fishing rights and the return of prisoners, and entered into force in May."
        ),
    ),
    (
        "speed of light in vacuum",
        "The speed of light in vacuum is 299,792,458 metres per second.",
        "She bought a red bicycle.",
    ),
)


def self_check(model: AnyModel) -> tuple[str, ...]:
    """Score a few pairs in several ways and compare.

    A listwise model scores lists of two, and each list once more.

    Returns:
        Warnings for the operator: sentences, usually none.

    Raises:
        StartError: scores are not finite, constant, saturated, dependent on other rows, or (for
            a model that the catalog names) rank irrelevant documents first.
    """
    notes = tuple(f"{model.card.name}: {note}" for note in model.card.notes)
    if isinstance(model, ListwiseModel):
        together = _lists(model)
        _check_scores(model, together)
        _check_same(model, _lists(model), together, "what ran before it")
    else:
        together = _checked_pairs(model)
    return (*notes, *_check_order(model, together))


def _checked_pairs(model: Model) -> Scores:
    """The logits of all pairs, which depend on nothing else. Raises StartError."""
    rows = _rows(model)
    together = _logits(model, rows)
    _check_scores(model, together)
    images = together[2 * len(_PROBES) :]
    if images.size and images[0] == images[1]:
        raise StartError(
            f"{model.card.name} gives two images the same score; it does not see them."
        )
    alone = np.concatenate([_logits(model, [row]) for row in rows])
    backwards = _logits(model, rows[::-1])[::-1]
    _check_same(model, alone, together, "other rows in its batch")
    _check_same(model, backwards, together, "the order of rows")
    return together


def _lists(model: ListwiseModel) -> Scores:
    """Two scores per probe, relevant and irrelevant, which are one list."""
    found: list[float] = []
    for query, *texts in _PROBES:
        documents = tuple(Content(value=text) for text in texts)
        prepared = model.prepare(RerankRequest(query=Content(value=query), documents=documents))
        outputs = outputs_of(model, prepared.rows)
        found += document_logits(model, prepared, outputs, len(documents))
    return np.array(found)


def _check_scores(model: AnyModel, together: Scores) -> None:
    """Logits are finite, differ, and make scores that do. Raises StartError."""
    name = model.card.name
    if not np.isfinite(together).all():
        raise StartError(f"{name} gives scores that are not finite; its weights are damaged.")
    if float(np.ptp(together)) <= TOLERANCE:
        raise StartError(f"{name} gives every pair the same score; its weights are not trained.")
    _check_relevance(model, together)


def _check_same(model: AnyModel, other: Scores, together: Scores, what: str) -> None:
    """Whether logits that were had in another way are the same ones. Raises StartError."""
    precision = model.engine.info.precision
    tolerance = TOLERANCES.get(precision, TOLERANCE)
    worst = float(np.abs(other - together).max())
    if not worst <= tolerance:
        raise StartError(
            f"{model.card.name}: the logit of a pair depends on {what} (by {worst:.1e}, allowed in "
            f"{precision} is {tolerance:g}); this engine must not be used on this machine."
        )


def _check_order(model: AnyModel, together: Scores) -> tuple[str, ...]:
    """A warning where irrelevant documents are first; of a catalog model a StartError.

    Of a model that is not asked to rank, nothing.
    """
    if not model.card.ranks:
        return ()
    name = model.card.name
    wrong = [
        query for i, (query, _, _) in enumerate(_PROBES) if together[2 * i] <= together[2 * i + 1]
    ]
    if not wrong:
        return ()
    sentence = (
        f"{name} does not score a relevant document above an irrelevant one for "
        f"{len(wrong)} of {len(_PROBES)} test queries (first: {wrong[0]!r})"
    )
    if model.card.named_by_catalog:
        raise StartError(f"{sentence}; the weights are not those of this model.")
    return (f"{sentence}; is it trained to rerank?",)


def _rows(model: Model) -> list[Row]:
    """Two rows per probe: relevant, irrelevant; behind them those with images, if it reads any."""
    rows: list[Row] = []
    for query, relevant, irrelevant in _PROBES:
        documents = (Content(value=relevant), Content(value=irrelevant))
        request = RerankRequest(
            query=Content(value=query), documents=documents, max_chunks_per_doc=1
        )
        rows += model.prepare(request).rows
    if "image" in model.card.modalities:
        rows += _image_rows(model)
    return rows


def _image_rows(model: Model) -> list[Row]:
    """Two images behind one text, and a text behind each: what differs is the pixels alone."""
    query, relevant, _ = _PROBES[0]
    images = (_image(1), _image(2))
    asked = [(Content(value=query), images), *((i, (Content(value=relevant),)) for i in images)]
    rows: list[Row] = []
    for content, documents in asked:
        rows += model.prepare(RerankRequest(query=content, documents=documents)).rows
    return rows


def _image(slope: int) -> Content:
    """A made-up image of 96 by 128 pixels: colours that run across it, some faster than others."""
    y, x = np.indices((96, 128))
    pixels = np.stack([slope * x, 255 - y, slope * (x + y)], axis=-1).astype(np.uint8)
    media = Media(
        frames=(pixels,),
        digest=sha256(pixels.tobytes()).digest(),
        format="png",
        encoded_bytes=pixels.nbytes,
        source="base64",
    )
    return Content(modality="image", value="", media=media)


def _logits(model: Model, rows: list[Row]) -> Scores:
    return model.logit(model.engine.forward(rows))


def _check_relevance(model: AnyModel, logits: Scores) -> None:
    """Scores lie in [0, 1] if they are bounded, grow with the logit, and are not all at one end."""
    scores = np.array([model.relevance(float(x)) for x in np.sort(logits)])
    if not np.isfinite(scores).all():
        raise StartError(f"{model.card.name} gives relevance scores that are not finite.")
    if model.card.activation.is_bounded and not (scores.min() >= 0.0 and scores.max() <= 1.0):
        raise StartError(f"{model.card.name} gives relevance scores outside [0, 1].")
    if (np.diff(scores) < 0).any():
        raise StartError(f"{model.card.name}: a higher logit gives a lower relevance score.")
    if scores.min() == scores.max():
        raise StartError(
            f"{model.card.name} gives every pair the relevance score {scores.max():g}: its logits "
            f"({logits.min():.3g} to {logits.max():.3g}) saturate."
        )
