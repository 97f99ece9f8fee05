"""Unknown keys are counted by network, for a minute, in a bounded table."""

from __future__ import annotations

import pytest

from rerankd.access.wrong_keys import NETWORKS, WrongKeys
from rerankd.core.errors import RateLimited

PER_MINUTE = 20  # limits.wrong_keys by default


def test_the_21st_of_a_minute_is_told_when_again_and_other_networks_are_not_meant() -> None:
    now = [100.0]
    wrong = WrongKeys(PER_MINUTE, clock=lambda: now[0])
    for _ in range(PER_MINUTE):
        wrong.note("10.0.0.0/24")
    now[0] += 45
    with pytest.raises(RateLimited) as refused:
        wrong.note("10.0.0.0/24")
    assert refused.value.reason == "wrong_keys"
    assert refused.value.retry_after_s == 15
    wrong.note("10.0.1.0/24")
    now[0] += 15
    wrong.note("10.0.0.0/24")


def test_the_table_is_bounded_and_forgets_the_oldest() -> None:
    now = [0.0]
    wrong = WrongKeys(PER_MINUTE, clock=lambda: now[0])
    for _ in range(PER_MINUTE):
        wrong.note("first")
    for number in range(NETWORKS + 10):
        wrong.note(str(number))
    assert len(wrong) == NETWORKS
    wrong.note("first")  # forgotten
