"""How many replicas: enough that none is busy all the time and what waits is done soon."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from rerankd.adapters.ray.load import LoadReport
from rerankd.adapters.ray.scaling import BUSY, WAITING_S, WAITING_TOKENS, ByWork
from rerankd.core.facts import BackendFacts, ModelFacts
from rerankd.core.names import Names
from rerankd.settings.schema import Settings
from rerankd.web.assemble import make_state


@dataclass
class Context:
    """What the policy reads of Serve's."""

    aggregated_metrics: dict[str, dict[str, float]] | None
    target_num_replicas: int = 3


def wanted(busy: list[float], waiting: list[float]) -> int:
    """Replicas wanted when those that run report so much each."""
    metrics = {
        BUSY: {str(i): share for i, share in enumerate(busy)},
        WAITING_S: {str(i): seconds for i, seconds in enumerate(waiting)},
    }
    return ByWork()(Context(metrics))[0]


@pytest.mark.parametrize(
    ("busy", "waiting", "replicas"),
    [
        ([0.0], [0.0], 0),  # Serve keeps its least number
        ([0.5], [0.0], 1),
        ([0.75], [0.0], 1),
        ([0.76], [0.0], 2),
        ([1.0], [0.0], 2),
        ([1.0], [30.0], 5),  # 1.33 for what comes, 3 for what waits
        ([1.0, 1.0], [5.0, 5.0], 4),
        ([0.4, 0.4], [0.0, 0.0], 2),  # one would be busy for more than its share
        ([0.3, 0.3], [0.0, 0.0], 1),
    ],
)
def test_work_decides(busy: list[float], waiting: list[float], replicas: int) -> None:
    assert wanted(busy, waiting) == replicas


@pytest.mark.parametrize("metrics", [None, {}, {BUSY: {}}, {"other": {"a": 1.0}}])
def test_before_anybody_has_reported_nothing_changes(
    metrics: dict[str, dict[str, float]] | None,
) -> None:
    assert ByWork()(Context(metrics)) == (3, {})


def test_an_operator_may_set_both_numbers() -> None:
    context = Context({BUSY: {"a": 1.0}, WAITING_S: {"a": 10.0}})
    assert ByWork(busy=1.0, catch_up_s=5.0)(context)[0] == 3


@dataclass
class Seen:
    """Facts with one model that has so much to do."""

    tokens: int
    seconds: float
    names: Names = field(default_factory=lambda: Names(models=("m",)))

    def facts(self) -> BackendFacts:
        model = ModelFacts(
            name="m",
            root="m",
            state="ready",
            waiting_tokens=self.tokens,
            backlog_s=self.seconds,
        )
        return BackendFacts(
            models=(model,), names=self.names, request_tokens=1, queue_tokens=1, tokenizers=1
        )


def test_a_report_is_the_mean_since_the_last() -> None:
    load = LoadReport(make_state(Settings(models=("rerankd-lexical",))))
    load.look(Seen(100, 2.0).facts(), running=3)
    load.look(Seen(0, 0.0).facts(), running=0)
    assert load.report() == {BUSY: 0.5, WAITING_TOKENS: 50.0, WAITING_S: 1.0}
    load.look(Seen(7, 0.5).facts(), running=1)
    assert load.report() == {BUSY: 1.0, WAITING_TOKENS: 7.0, WAITING_S: 0.5}
    assert load.report() == {BUSY: 0.0, WAITING_TOKENS: 0.0, WAITING_S: 0.0}
