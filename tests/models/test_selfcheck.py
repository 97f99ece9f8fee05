"""The self-check refuses models that would give wrong scores."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from rerankd.core.errors import StartError
from rerankd.core.meter import Meter
from rerankd.core.request import Content, RerankRequest
from rerankd.core.rows import Logits, Prepared, Row, Scores
from rerankd.core.score import sigmoid
from rerankd.engines.base import EngineInfo
from rerankd.engines.fake import FakeEngine
from rerankd.models.base import ModelCard
from rerankd.models.families import CROSS_ENCODER
from rerankd.models.selfcheck import self_check

Forward = Callable[[Sequence[Row]], Sequence[float]]


class Stub:
    """A model and engine in one: rows are bytes of the texts, logits as the test says."""

    def __init__(self, forward: Forward, relevance: Callable[[float], float] = sigmoid) -> None:
        self.card = ModelCard(name="stub", family=CROSS_ENCODER, window_tokens=None, score="")
        self.engine = self
        self.info: EngineInfo = FakeEngine().info
        self._forward = forward
        self._relevance = relevance

    def prepare(self, request: RerankRequest, meter: Meter | None = None) -> Prepared:
        texts = [f"{request.query.value}|{document.value}" for document in request.documents]
        ids = [np.frombuffer(text.encode(), dtype=np.uint8).astype(np.int32) for text in texts]
        rows = tuple(Row(each, int(np.flatnonzero(each == ord("|"))[0])) for each in ids)
        return Prepared(rows=rows, owners=tuple(range(len(rows))))

    def forward(self, batch: Sequence[Row]) -> Logits:
        return np.array(self._forward(batch), dtype=np.float32)[:, None]

    def logit(self, logits: Logits) -> Scores:
        return logits[:, 0].astype(np.float64)

    def relevance(self, logit: float) -> float:
        return self._relevance(logit)

    def close(self) -> None:
        """Nothing to free."""


def shared_words(row: Row) -> float:
    """How many words of the query are in the document: a ranker good enough for the probes."""
    query, _, document = bytes(row.ids.astype(np.uint8)).decode().lower().partition("|")
    return float(len(set(query.split()) & set(document.split())))


def good(batch: Sequence[Row]) -> list[float]:
    return [shared_words(row) for row in batch]


def test_a_sound_model_passes_without_a_warning() -> None:
    assert self_check(Stub(good)) == ()


def _alone() -> dict[tuple[int, bytes], int]:
    """Positions that the probe rows have in one batch."""
    seen: list[Row] = []

    def spy(batch: Sequence[Row]) -> list[float]:
        seen.extend(batch)
        return [0.0 for _ in batch]

    with pytest.raises(StartError):
        self_check(Stub(spy))
    return {row.key(): i for i, row in enumerate(seen)}


ALONE = _alone()
WRONG: list[tuple[Forward, str]] = [
    (lambda batch: [float("nan") for _ in batch], "not finite"),
    (lambda batch: [float("inf") for _ in batch], "not finite"),
    (lambda batch: [0.25 for _ in batch], "the same score"),
    (lambda batch: [x + 100.0 for x in good(batch)], "saturate"),
    (lambda batch: [x - 1000.0 for x in good(batch)], "saturate"),
    (lambda batch: [x + 0.001 * len(batch) for x in good(batch)], "other rows in its batch"),
    (
        lambda batch: [x + 0.001 * batch[0].tokens * (len(batch) > 1) for x in good(batch)],
        "depends on",
    ),
    (
        lambda batch: [
            x + (0.001 * i if len(batch) > 1 else 0.001 * ALONE[row.key()])
            for i, (x, row) in enumerate(zip(good(batch), batch, strict=True))
        ],
        "the order of rows",
    ),
]
WRONG_IDS = ["nan", "inf", "constant", "all one", "all zero", "batch size", "first row", "position"]


@pytest.mark.parametrize(("forward", "says"), WRONG, ids=WRONG_IDS)
def test_scores_that_cannot_be_right_refuse_the_model(forward: Forward, says: str) -> None:
    with pytest.raises(StartError, match=says):
        self_check(Stub(forward))


MISCALIBRATED: list[tuple[Callable[[float], float], str]] = [
    (lambda logit: 2.0 + sigmoid(logit), r"outside \[0, 1\]"),
    (lambda logit: sigmoid(-logit), "lower relevance"),
]


@pytest.mark.parametrize(("relevance", "says"), MISCALIBRATED, ids=["outside", "falling"])
def test_a_wrong_calibration_refuses_the_model(
    relevance: Callable[[float], float], says: str
) -> None:
    with pytest.raises(StartError, match=says):
        self_check(Stub(good, relevance))


def test_a_bad_ranking_warns_for_a_folder_and_refuses_a_model_of_the_catalog() -> None:
    model = Stub(lambda batch: [-x for x in good(batch)])
    (warning,) = self_check(model)
    assert "3 of 3 test queries" in warning
    model.card = dataclasses.replace(model.card, named_by_catalog=True)
    with pytest.raises(StartError, match="not those of this model"):
        self_check(model)


def test_a_sound_model_of_the_catalog_passes() -> None:
    model = Stub(good)
    model.card = dataclasses.replace(model.card, named_by_catalog=True)
    assert self_check(model) == ()


@pytest.mark.parametrize(
    ("precision", "passes"), [("fp32", 0.00005), ("bf16", 0.1), ("fp16", 0.02), ("other", 0.00005)]
)
def test_company_may_change_a_logit_by_what_the_precision_allows(
    precision: str, passes: float
) -> None:
    def moved(by: float) -> Stub:
        model = Stub(lambda batch: [x + by * (len(batch) > 1) for x in good(batch)])
        model.info = dataclasses.replace(model.info, precision=precision)
        return model

    assert self_check(moved(passes)) == ()
    with pytest.raises(StartError, match=f"allowed in {precision}"):
        self_check(moved(passes * 4))


class Seeing(Stub):
    """The same, which reads images: an image is what the test makes of it."""

    def __init__(self, forward: Forward, seen: Callable[[Content], bytes]) -> None:
        super().__init__(forward)
        family = dataclasses.replace(self.card.family, modalities=frozenset({"text", "image"}))
        self.card = dataclasses.replace(self.card, family=family)
        self._seen = seen
        self.images: list[Content] = []

    def prepare(self, request: RerankRequest, meter: Meter | None = None) -> Prepared:
        sides = [(request.query, document) for document in request.documents]
        texts = [b"|".join(self._read(side) for side in pair) for pair in sides]
        ids = [np.frombuffer(text, dtype=np.uint8).astype(np.int32) for text in texts]
        rows = tuple(Row(each, each.size) for each in ids)
        return Prepared(rows=rows, owners=tuple(range(len(rows))))

    def _read(self, content: Content) -> bytes:
        if content.modality == "text":
            return content.value.encode()
        self.images.append(content)
        return b"image " + self._seen(content)


def digest(content: Content) -> bytes:
    assert content.media is not None
    return content.media.digest.hex().encode()


def test_a_model_that_reads_images_is_shown_some() -> None:
    model = Seeing(lambda batch: [len(row.ids) / 50 + row.ids[-1] / 100 for row in batch], digest)
    self_check(model)
    assert len(model.images) >= 4
    for image in model.images:
        assert image.media is not None
        assert image.media.frames[0].shape == (96, 128, 3)


def test_a_model_that_does_not_see_is_refused() -> None:
    def blind(content: Content) -> bytes:
        return b""

    with pytest.raises(StartError, match="two images the same score; it does not see"):
        self_check(Seeing(lambda batch: [len(row.ids) / 50 for row in batch], blind))


def test_an_image_whose_score_depends_on_its_company_refuses_the_model() -> None:
    def leaking(batch: Sequence[Row]) -> list[float]:
        first = next(
            (i for i, row in enumerate(batch) if b"image" in bytes(row.ids.astype("u1"))), 0
        )
        own = [len(row.ids) / 50 + row.ids[-1] / 100 for row in batch]
        return [
            own[first] + own[i] if b"image" in bytes(row.ids.astype("u1")) else own[i]
            for i, row in enumerate(batch)
        ]

    with pytest.raises(StartError, match="depends on"):
        self_check(Seeing(leaking, digest))
