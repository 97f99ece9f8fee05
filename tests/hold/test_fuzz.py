"""Type-confused and damaged bodies, in every dialect: never a 5xx. Longer: fuzz_bodies.py N."""

from __future__ import annotations

import pytest
from hold.fuzz_bodies import cases, fuzz


@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", range(4))
async def test_no_body_is_a_failure_of_ours(seed: int) -> None:
    found = await fuzz(5000, seed)
    assert found.failures == []
    assert found.statuses.total() == 5000
    assert found.statuses[200] > 500  # enough of them go all the way


def test_a_seed_is_a_set_of_cases() -> None:
    assert list(cases(1, 50)) == list(cases(1, 50)) != list(cases(2, 50))
