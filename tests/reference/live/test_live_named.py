"""The goldens of decoders known by name are what transformers says today.

Run by `pytest -m reference`; without torch these fail.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from rerankd.core.options import PromptName
from rerankd.core.request import Content, RerankRequest
from rerankd.models.causal_yes_no import load_causal_yes_no
from rerankd.models.decoder_prompt import PromptWord
from tests.checkpoints.logit_score import write_bare
from tests.reference.make_decoder_goldens import items
from tests.reference.make_named_goldens import GOLDEN, Reference

pytestmark = [pytest.mark.reference, pytest.mark.timeout(1800)]


@pytest.mark.parametrize("name", ["bge-gemma", "zerank", "contextual"])
def test_goldens_and_our_rows_are_those_of_live_transformers(
    name: PromptName, tmp_path: Path
) -> None:
    folder = write_bare(tmp_path, name)
    reference = Reference(folder, name)
    live = np.array([reference.logit(item) for item in items()])
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))[name]
    np.testing.assert_allclose(live, golden, rtol=0, atol=1e-4)
    model = load_causal_yes_no(folder, name=name, said=PromptWord(recipe=name))
    for item in items():
        request = RerankRequest(
            query=Content(value=item["query"]),
            documents=(Content(value=item["document"]),),
            instruction=item["instruction"],
            max_chunks_per_doc=1,
        )
        (row,) = model.prepare(request).rows
        assert row.ids.tolist() == reference.ids(item)
