"""The golden logits of the true widths are what torch and transformers say today.

Run by `pytest -m reference`; without torch these fail. Ours: tests/engines/test_width_golden.py.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.reference.make_decoder_goldens import WINDOW_TOKENS
from tests.reference.make_decoder_goldens import Reference as DecoderReference
from tests.reference.make_goldens import Reference
from tests.reference.make_width_goldens import (
    DECODERS,
    ENCODERS,
    GOLDEN,
    WidthGoldens,
    width_items,
    width_pairs,
)

pytestmark = [pytest.mark.reference, pytest.mark.timeout(1800)]
GOLDENS: WidthGoldens = json.loads(GOLDEN.read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", list(ENCODERS))
def test_an_encoders_goldens_are_those_of_live_transformers(name: str, tmp_path: Path) -> None:
    live = Reference(ENCODERS[name](tmp_path)).pairs(width_pairs())
    np.testing.assert_allclose(live, GOLDENS["encoders"][name], rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", list(DECODERS))
def test_a_decoders_goldens_are_those_of_live_transformers(name: str, tmp_path: Path) -> None:
    reference = DecoderReference(DECODERS[name](tmp_path))
    live = [reference.pair(item, WINDOW_TOKENS) for item in width_items()]
    np.testing.assert_allclose(live, GOLDENS["decoders"][name], rtol=0, atol=1e-4)
