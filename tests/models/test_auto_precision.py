"""`precision = "auto"`: the fastest that agrees with fp32, one model in memory at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest

from rerankd.core.errors import EngineFailed, PrecisionUnavailable, StartError
from rerankd.core.meter import Meter
from rerankd.core.options import LoadOptions, Precision
from rerankd.core.request import RerankRequest
from rerankd.core.rows import Logits, Prepared, Row, Scores
from rerankd.core.trial import PrecisionTrial, summary
from rerankd.engines.base import EngineInfo
from rerankd.engines.fake import FakeEngine
from rerankd.models import auto_precision
from rerankd.models.agreement_texts import DOCUMENTS, QUERIES
from rerankd.models.auto_precision import fastest
from rerankd.models.base import AnyModel, ModelCard
from rerankd.models.families import CROSS_ENCODER
from rerankd.models.load import Spec, load
from rerankd.models.space import space_of
from tests.checkpoints.bert import MINILM_L6, write

Rounding = Callable[[Scores], Scores]  # what a precision does to logits
REFUSED = PrecisionUnavailable("it has none. Leave it unset.")


class Clock:
    """Seconds that pass only where a test says so."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


class Made:
    """A model and its engine in one: the logit of a pair comes of its bytes, then is rounded."""

    def __init__(self, precision: Precision, rounding: Rounding, seconds: float, to: Clock) -> None:
        self.card = ModelCard(name="made", family=CROSS_ENCODER, window_tokens=None, score="")
        self.info: EngineInfo = replace(FakeEngine().info, precision=precision)
        self.engine = self
        self.closed = False
        self.texts: list[str] = []
        self._rounding, self._seconds, self._clock = rounding, seconds, to

    def prepare(self, request: RerankRequest, meter: Meter | None = None) -> Prepared:
        texts = [f"{request.query.value}|{each.value}" for each in request.documents]
        self.texts += texts
        rows = tuple(
            Row(np.frombuffer(text.encode(), np.uint8).astype(np.int32), 1) for text in texts
        )
        return Prepared(rows=rows, owners=tuple(range(len(rows))))

    def forward(self, batch: Sequence[Row]) -> Logits:
        self._clock.now += self._seconds
        exact = np.array([np.sin(float(row.ids.sum())) for row in batch])
        return self._rounding(exact)[:, None].astype(np.float32)

    def logit(self, logits: Logits) -> Scores:
        return logits[:, 0].astype(np.float64)

    def relevance(self, logit: float) -> float:
        return logit

    def close(self) -> None:
        self.closed = True


@dataclass
class Held:
    """As models.load.Loaded."""

    model: AnyModel


@dataclass
class Shop:
    """Opens models as a test wants them, and remembers them."""

    rounding: Mapping[Precision, Rounding | Exception]
    seconds: Mapping[Precision, float]
    clock: Clock = field(default_factory=Clock)
    opened: list[Made] = field(default_factory=list[Made])

    def open_in(self, precision: Precision) -> Held:
        assert all(model.closed for model in self.opened), "two in memory at once"
        rounding = self.rounding[precision]
        if isinstance(rounding, Exception):
            raise rounding
        made = Made(precision, rounding, self.seconds[precision], self.clock)
        self.opened.append(made)
        return Held(made)


def same(logits: Scores) -> Scores:
    return logits


def rounded(logits: Scores) -> Scores:
    return np.round(logits * 512) / 512


def shuffled(logits: Scores) -> Scores:
    return logits[::-1]


def shifted(logits: Scores) -> Scores:
    """The order of fp32 in full, and other logits."""
    return logits + 0.5


def broken(logits: Scores) -> Scores:
    raise EngineFailed("out of memory. Try less.")


def by_taken(trials: Sequence[PrecisionTrial]) -> Precision:
    [taken] = [trial for trial in trials if trial.taken]
    return taken.precision


def raced(
    monkeypatch: pytest.MonkeyPatch,
    bf16: Rounding | Exception,
    int8: Rounding | Exception,
    *,
    seconds: tuple[float, float, float] = (0.4, 0.2, 0.1),
) -> tuple[Shop, Precision, dict[str, PrecisionTrial]]:
    """What is taken, and every trial."""
    fp32_s, bf16_s, int8_s = seconds
    shop = Shop(
        {"fp32": same, "bf16": bf16, "int8": int8},
        {"fp32": fp32_s, "bf16": bf16_s, "int8": int8_s},
    )
    monkeypatch.setattr(time, "perf_counter", shop.clock)
    held, trials = fastest(shop.open_in)
    assert by_taken(trials) == held.model.engine.info.precision
    assert [model.closed for model in shop.opened].count(False) == 1
    assert not shop.opened[-1].closed
    assert [trial.precision for trial in trials] == ["fp32", "bf16", "int8"]
    return shop, by_taken(trials), {trial.precision: trial for trial in trials}


def test_the_fastest_that_agrees_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    shop, taken, trials = raced(monkeypatch, rounded, rounded)
    assert taken == "int8"
    assert len(shop.opened) == 3  # the last is the one that is served
    assert trials["int8"].speed == pytest.approx(4.0)
    assert trials["bf16"].speed == pytest.approx(2.0)
    assert trials["int8"].pairs == len(QUERIES) * len(DOCUMENTS)
    assert trials["int8"].spearman is not None
    assert trials["int8"].spearman > 0.999


@pytest.mark.parametrize("wrong", [shuffled, shifted])
def test_one_that_does_not_agree_is_not(wrong: Rounding, monkeypatch: pytest.MonkeyPatch) -> None:
    """bf16 is slower, but right; it is loaded again, as int8 was tried after it."""
    shop, taken, trials = raced(monkeypatch, rounded, wrong)
    assert taken == "bf16"
    assert [model.info.precision for model in shop.opened] == ["fp32", "bf16", "int8", "bf16"]
    assert "must have Spearman 0.99" in str(trials["int8"].reason)
    assert trials["bf16"].reason is None


@pytest.mark.parametrize(
    ("seconds", "taken", "says"),
    [
        ((0.4, 0.38, 0.39), "fp32", "not 1.1 times as fast as fp32"),
        ((0.4, 0.2, 0.19), "bf16", "not 1.1 times as fast as bf16"),
        ((0.1, 0.2, 0.3), "fp32", "not 1.1 times as fast as fp32"),
    ],
)
def test_a_coarser_one_must_be_faster_by_more_than_noise(
    seconds: tuple[float, float, float],
    taken: Precision,
    says: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _, found, trials = raced(monkeypatch, rounded, rounded, seconds=seconds)
    assert found == taken
    assert trials["int8"].reason == says


@pytest.mark.parametrize(
    ("failing", "says"),
    [
        (REFUSED, "it has none"),
        (StartError("the logit of a pair depends on its batch; beware"), "depends on its batch"),
        (broken, "out of memory"),
    ],
)
def test_one_that_cannot_run_is_passed_over_and_says_why(
    failing: Rounding | Exception, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, taken, trials = raced(monkeypatch, failing, failing)
    assert taken == "fp32"
    assert says in str(trials["bf16"].reason)
    assert trials["bf16"].speed is None


def test_what_cannot_run_in_fp32_is_not_served(monkeypatch: pytest.MonkeyPatch) -> None:
    shop = Shop({"fp32": broken}, {"fp32": 0.1})
    monkeypatch.setattr(time, "perf_counter", shop.clock)
    with pytest.raises(EngineFailed):
        fastest(shop.open_in)
    assert shop.opened[0].closed


def test_a_slow_model_scores_one_query_and_not_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time is looked at before a query is scored; each precision keeps to it."""
    shop, taken, trials = raced(monkeypatch, rounded, rounded, seconds=(7.0, 6.0, 5.0))
    assert taken == "int8"
    assert {trial.pairs for trial in trials.values()} == {len(DOCUMENTS)}
    assert shop.clock.now <= (7.0 + 6.0 + 5.0) + auto_precision.TIME_S


def test_no_text_is_timed_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine may remember texts: what it remembers takes no time."""
    shop, _, _ = raced(monkeypatch, rounded, rounded)
    for model in shop.opened:
        assert len(set(model.texts)) == len(model.texts) == 4 * len(QUERIES) * len(DOCUMENTS)


def test_the_texts_make_ten_best_of_more_than_twice_as_many() -> None:
    assert len(set(DOCUMENTS)) == len(DOCUMENTS) >= 25
    assert len(set(QUERIES)) == len(QUERIES)


def test_a_checkpoint_is_served_in_what_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """int8 or fp32 by the clock, as the space of its scores says; what is tried is told."""
    folder = write(tmp_path, MINILM_L6)
    for gain, taken in ((0.0, "int8"), (1e9, "fp32")):
        monkeypatch.setattr(auto_precision, "GAIN", gain)
        monkeypatch.setattr(auto_precision, "CANDIDATES", ("fp16", "int8"))
        spec = Spec(name="tiny", folder=folder, options=LoadOptions(precision="auto", streams=1))
        loaded = load(spec)
        try:
            assert loaded.model.engine.info.precision == taken
            assert space_of(loaded.model, folder).endswith(f"/{taken}")
            first, *others = summary(loaded.trials)
            assert first.startswith(f"auto: {taken} taken")
            [fp16] = [each for each in others if "fp16" in each]
            assert 'fp16 not taken: precision = "fp16" is not for bert' in fp16
        finally:
            loaded.model.engine.close()


def test_auto_beside_quantization_is_refused(tmp_path: Path) -> None:
    options = LoadOptions(precision="auto", quantization="int8")
    with pytest.raises(StartError, match="contradict"):
        load(Spec(name="tiny", folder=write(tmp_path, MINILM_L6), options=options))
