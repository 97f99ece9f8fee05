"""The goldens of the bidirectional Llama are what transformers says today.

Run by `pytest -m reference`; without torch these fail.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from rerankd.core.options import LoadOptions
from rerankd.core.request import Content, RerankRequest
from rerankd.models.causal_yes_no import CausalYesNo
from rerankd.models.load import Spec, load
from tests.checkpoints.logit_score import write_nemotron
from tests.reference.make_goldens import pairs
from tests.reference.make_nemotron_goldens import GOLDEN, WINDOW_TOKENS, Reference

pytestmark = [pytest.mark.reference, pytest.mark.timeout(1800)]


def test_goldens_and_our_rows_are_those_of_live_transformers(tmp_path: Path) -> None:
    folder = write_nemotron(tmp_path)
    reference = Reference(folder)
    live = np.array([reference.logit(pair) for pair in pairs()])
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))["pairs"]
    np.testing.assert_allclose(live, golden, rtol=0, atol=1e-4)
    options = LoadOptions(window_tokens=WINDOW_TOKENS)
    model = load(Spec(name="tiny", folder=folder, options=options)).model
    assert isinstance(model, CausalYesNo)
    for pair in pairs():
        query, document = Content(value=pair["query"]), Content(value=pair["document"])
        request = RerankRequest(query=query, documents=(document,), max_chunks_per_doc=1)
        (row,) = model.prepare(request).rows
        assert row.ids.tolist() == reference.ids(pair)


def test_a_causal_mask_would_give_other_scores(tmp_path: Path) -> None:
    folder = write_nemotron(tmp_path)
    causal = Reference(folder, is_causal=True)
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))["pairs"]
    wrong = np.array([causal.logit(pair) for pair in pairs()[:8]])
    assert np.abs(wrong - golden[:8]).max() > 0.05
