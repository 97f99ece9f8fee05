"""Every family in its true width against transformers (tests/reference/golden-width.json)."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from rerankd.core.request import Content, RerankRequest
from rerankd.models.causal_yes_no import load_causal_yes_no
from rerankd.models.cross_encoder import load_cross_encoder
from tests.reference.make_decoder_goldens import WINDOW_TOKENS
from tests.reference.make_width_goldens import (
    DECODERS,
    ENCODERS,
    GOLDEN,
    WidthGoldens,
    width_items,
    width_pairs,
)

pytestmark = pytest.mark.timeout(1800)  # slow

TOLERANCE = 1e-3  # to torch, on other kernels
GOLDENS: WidthGoldens = json.loads(GOLDEN.read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", list(ENCODERS))
def test_an_encoder_of_true_width_scores_as_transformers_scores_it(
    name: str, tmp_path: Path
) -> None:
    model = load_cross_encoder(ENCODERS[name](tmp_path), name=name)
    requests = [
        RerankRequest(
            query=Content(value=pair["query"]),
            documents=(Content(value=pair["document"]),),
            max_chunks_per_doc=1,
        )
        for pair in width_pairs()
    ]
    rows = [row for request in requests for row in model.prepare(request).rows]
    assert rows[-1].tokens == model.card.window_tokens
    golden = np.array(GOLDENS["encoders"][name])
    assert golden.std() > 0.3  # else agreement says little
    assert np.abs(model.engine.forward(rows) - golden).max() < TOLERANCE
    model.engine.close()


@pytest.mark.parametrize("name", list(DECODERS))
def test_a_decoder_of_true_width_scores_as_transformers_scores_it(
    name: str, tmp_path: Path
) -> None:
    model = load_causal_yes_no(DECODERS[name](tmp_path), name=name).with_window(WINDOW_TOKENS)
    requests = [
        RerankRequest(
            query=Content(value=item["query"]),
            documents=(Content(value=item["document"]),),
            instruction=item["instruction"],
            max_chunks_per_doc=1,
        )
        for item in width_items()
    ]
    rows = [row for request in requests for row in model.prepare(request).rows]
    golden = np.array(GOLDENS["decoders"][name])
    assert golden.std() > 0.3  # else agreement says little
    assert np.abs(model.engine.forward(rows)[:, 0] - golden).max() < TOLERANCE
    model.engine.close()
