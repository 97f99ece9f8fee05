"""The golden logits of the true widths are what torch and the libraries say today.

Run by `pytest -m reference`; without torch these fail. Ours: tests/engines/test_width_golden.py.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.reference.make_width_goldens import KIND_OF, golden, logits, write

pytestmark = [pytest.mark.reference, pytest.mark.timeout(1800)]


@pytest.mark.parametrize("name", list(KIND_OF))
def test_goldens_are_those_of_the_live_reference(name: str, tmp_path: Path) -> None:
    live = np.reshape(logits(name, write(name, tmp_path)), golden(name).shape)
    np.testing.assert_allclose(live, golden(name), rtol=0, atol=1e-4)
