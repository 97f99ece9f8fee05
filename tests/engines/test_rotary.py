"""The frequencies of rotary positions, where a unit in the last place is visible."""

from __future__ import annotations

import numpy as np
import pytest

from rerankd.engines.rotary import frequencies


@pytest.mark.parametrize("theta", [10_000.0, 20_000.0, 160_000.0, 500_000.0, 1e6, 5e6])
@pytest.mark.parametrize("dim", [64, 80, 128, 256])
def test_a_frequency_is_rounded_from_the_exact_power_on_every_processor(
    dim: int, theta: float
) -> None:
    """numpy's own power in fp32 is not: of 32 frequencies six were off at theta 160,000."""
    steps = [float(np.float32(2 * i) / np.float32(dim)) for i in range(dim // 2)]
    exact = [np.float32(1.0) / np.float32(theta**step) for step in steps]  # by the C library
    assert frequencies(dim, theta).tolist() == [float(turn) for turn in exact]
