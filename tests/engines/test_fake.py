"""The fake engine keeps the promises of engines.base, in the time that it is told to take."""

from __future__ import annotations

import numpy as np
import pytest

from rerankd.engines.base import Sliced
from rerankd.engines.fake import FakeEngine
from tests.kit.support import row


def test_a_row_in_slices_scores_the_same_and_takes_its_time() -> None:
    slept: list[float] = []
    engine = FakeEngine(max_length=None, slice_tokens=4, delay_s=1.0, token_s=0.5)
    engine.sleep = slept.append
    assert isinstance(engine, Sliced)
    long = row(*range(10))
    steps = engine.slices(long)
    found: list[int] = []
    for _ in range(3):
        found.append(next(steps))
        assert engine.open_slices == 1
    with pytest.raises(StopIteration) as end:
        next(steps)
    assert found == engine.steps == [3, 3, 4]
    assert slept == [2.5, 2.5, 3.0]
    np.testing.assert_array_equal(end.value.value, engine.forward([long])[0])
    assert slept[3:] == [6.0]
    assert engine.open_slices == 0


def test_a_row_left_in_the_middle_is_closed() -> None:
    engine = FakeEngine(max_length=None, slice_tokens=2)
    steps = engine.slices(row(1, 2, 3, 4, 5))
    next(steps)
    steps.close()
    assert engine.open_slices == 0
    assert len(engine.steps) == 1
