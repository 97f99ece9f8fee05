"""The decoders' golden logits are what torch and transformers say today.

Run by `pytest -m reference`; without torch these fail.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from rerankd.core.request import Content, RerankRequest
from rerankd.core.rows import Logits, Row
from rerankd.models.causal_yes_no import CausalYesNo, load_causal_yes_no
from tests.checkpoints.decoder import GOLDEN_SHAPES, write
from tests.reference.make_decoder_goldens import (
    GOLDEN,
    LONG_TOKENS,
    WINDOW_TOKENS,
    Golden,
    Item,
    Reference,
    items,
    long_items,
)

pytestmark = [pytest.mark.reference, pytest.mark.timeout(1800)]


def ours(model: CausalYesNo, wanted: list[Item]) -> tuple[list[Row], Logits]:
    rows: list[Row] = []
    for item in wanted:
        request = RerankRequest(
            query=Content(value=item["query"]),
            documents=(Content(value=item["document"]),),
            instruction=item["instruction"],
            max_chunks_per_doc=1,
        )
        rows += model.prepare(request).rows
    return rows, model.engine.forward(rows)


@pytest.mark.parametrize("name", list(GOLDEN_SHAPES))
def test_golden_logits_and_ours_are_those_of_live_transformers(name: str, tmp_path: Path) -> None:
    folder = write(tmp_path, GOLDEN_SHAPES[name])
    reference = Reference(folder)
    model = load_causal_yes_no(folder, name=name)
    golden: Golden = json.loads(GOLDEN.read_text(encoding="utf-8"))[name]
    live = np.array([reference.pair(item, WINDOW_TOKENS) for item in items()])
    np.testing.assert_allclose(live, golden["pairs"], rtol=0, atol=1e-4)
    rows, logits = ours(model.with_window(WINDOW_TOKENS), items())
    np.testing.assert_allclose(logits[:, 0], live, rtol=0, atol=1e-3)
    for item, row in zip(items(), rows, strict=True):
        before, body, after = reference.parts(item)
        room = WINDOW_TOKENS - len(before) - len(after)
        assert row.ids.tolist() == before + body[:room] + after

    long = [reference.pair(item, LONG_TOKENS) for item in long_items()[:1]]
    np.testing.assert_allclose(long, golden["long"][:1], rtol=0, atol=1e-4)
    _, logits = ours(model, long_items())
    np.testing.assert_allclose(logits[:, 0], golden["long"], rtol=0, atol=1e-3)
