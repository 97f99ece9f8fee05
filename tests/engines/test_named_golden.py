"""Decoders whose prompt only their name says, against transformers (golden-named.json)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from rerankd.core.errors import StartError
from rerankd.core.options import LoadOptions, PromptName
from rerankd.core.request import Content, RerankRequest
from rerankd.core.rows import Logits, Row
from rerankd.models.causal_yes_no import CausalYesNo, load_causal_yes_no
from rerankd.models.decoder_prompt import PromptWord
from tests.checkpoints.logit_score import write_bare
from tests.reference.make_decoder_goldens import Item, items
from tests.reference.make_named_goldens import GOLDEN

pytestmark = pytest.mark.timeout(1800)  # slow

TOLERANCE = 1e-4  # to torch, on other kernels
INDEPENDENCE = 1e-5  # to ourselves: another batch
NAMES: tuple[PromptName, ...] = ("bge-gemma", "zerank", "contextual")


@dataclass(frozen=True)
class Loaded:
    """A folder of one prompt, and our rows and logits of all pairs."""

    name: PromptName
    model: CausalYesNo
    rows: tuple[Row, ...]
    logits: Logits


def rows_of(model: CausalYesNo, item: Item) -> tuple[Row, ...]:
    request = RerankRequest(
        query=Content(value=item["query"]),
        documents=(Content(value=item["document"]),),
        instruction=item["instruction"],
        max_chunks_per_doc=1,
    )
    return model.prepare(request).rows


@pytest.fixture(scope="module", params=NAMES)
def loaded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    name: PromptName = request.param
    folder = write_bare(tmp_path_factory.mktemp(name), name)
    model = load_causal_yes_no(folder, name=name, said=PromptWord(recipe=name))
    rows = tuple(row for item in items() for row in rows_of(model, item))
    return Loaded(name, model, rows, model.engine.forward(rows))


def test_every_pair_scores_as_transformers_scores_the_publishers_rows(loaded: Loaded) -> None:
    golden = np.array(json.loads(GOLDEN.read_text(encoding="utf-8"))[loaded.name])
    assert len(golden) >= 300
    assert golden.std() > 0.5  # else agreement says little
    assert np.abs(loaded.logits[:, 0] - golden).max() < TOLERANCE


def test_a_pair_scores_the_same_in_any_company_and_order(loaded: Loaded) -> None:
    picked = [int(i) for i in np.random.default_rng(7).permutation(len(loaded.rows))[:24]]
    again = loaded.model.engine.forward([loaded.rows[i] for i in picked])
    assert np.abs(again - loaded.logits[picked]).max() < INDEPENDENCE


def test_without_its_first_token_gemma_scores_otherwise(tmp_path: Path) -> None:
    said = PromptWord(recipe="bge-gemma")
    model = load_causal_yes_no(write_bare(tmp_path, "bge-gemma"), name="tiny", said=said)
    rows = rows_of(model, items()[0])
    bare = [Row(row.ids[1:], row.tokens - 1) for row in rows]
    assert rows[0].ids[0] == 0
    assert np.abs(model.engine.forward(bare) - model.engine.forward(rows)).max() > 0.05


def test_a_bare_gemma_or_mistral_is_no_reranker(tmp_path: Path) -> None:
    for name in ("bge-gemma", "contextual"):
        with pytest.raises(StartError, match=r"has no chat_template\.jinja"):
            load_causal_yes_no(write_bare(tmp_path / name, name), name=name)


def test_gemma_on_torch_is_refused_by_name(tmp_path: Path) -> None:
    folder, said = write_bare(tmp_path, "bge-gemma"), PromptWord(recipe="bge-gemma")
    with pytest.raises(StartError, match='engine = "torch" has no Gemma yet'):
        load_causal_yes_no(folder, name="tiny", options=LoadOptions(engine="torch"), said=said)
