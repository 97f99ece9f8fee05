"""Every family in its true width against its reference (tests/reference/golden-width.json)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.engines.widths import open_width, width_requests
from tests.reference.make_width_goldens import KIND_OF, golden

pytestmark = pytest.mark.timeout(1800)  # slow

TOLERANCE = 2e-4  # to torch, on other kernels
HAS_A_LONGEST_ROW = ("encoders", "modules", "bidirectional")


@pytest.mark.parametrize("name", list(KIND_OF))
def test_a_model_of_true_width_scores_as_its_reference_scores_it(name: str, tmp_path: Path) -> None:
    model = open_width(name, tmp_path)
    rows = [row for request in width_requests(name) for row in model.prepare(request).rows]
    if KIND_OF[name] in HAS_A_LONGEST_ROW:
        assert rows[-1].tokens == model.card.window_tokens
    wanted = golden(name)
    assert wanted.std() > 0.3  # else agreement says little
    assert np.abs(model.engine.forward(rows) - wanted).max() < TOLERANCE
    model.engine.close()
