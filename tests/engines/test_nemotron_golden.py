"""A bidirectional Llama with a mean over its tokens against transformers (golden-nemotron.json)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rerankd.core.errors import StartError
from rerankd.core.options import LoadOptions
from rerankd.core.request import Content, RerankRequest
from rerankd.core.rows import Logits, Row
from rerankd.models.causal_yes_no import CausalYesNo
from rerankd.models.load import Spec, load
from tests.checkpoints.logit_score import write_nemotron
from tests.reference.make_goldens import pairs
from tests.reference.make_nemotron_goldens import GOLDEN, WINDOW_TOKENS

pytestmark = pytest.mark.timeout(1800)  # slow

TOLERANCE = 1e-4  # to torch, on other kernels
INDEPENDENCE = 1e-5  # to ourselves: another batch


@dataclass(frozen=True)
class Loaded:
    """The folder, and our rows and logits of all pairs."""

    model: CausalYesNo
    rows: tuple[Row, ...]
    logits: Logits


def ask(query: str, document: str, **fields: Any) -> RerankRequest:
    documents = (Content(value=document),)
    return RerankRequest(query=Content(value=query), documents=documents, **fields)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    folder = write_nemotron(tmp_path_factory.mktemp("nemotron"))
    options = LoadOptions(window_tokens=WINDOW_TOKENS)
    model = load(Spec(name="tiny", folder=folder, options=options)).model
    assert isinstance(model, CausalYesNo)
    requests = [ask(p["query"], p["document"], max_chunks_per_doc=1) for p in pairs()]
    rows = tuple(row for request in requests for row in model.prepare(request).rows)
    return Loaded(model, rows, model.engine.forward(rows))


def test_every_pair_scores_as_transformers_scores_it(loaded: Loaded) -> None:
    golden = np.array(json.loads(GOLDEN.read_text(encoding="utf-8"))["pairs"])
    assert len(golden) >= 300
    assert max(row.tokens for row in loaded.rows) == WINDOW_TOKENS
    assert golden.std() > 0.2  # else agreement says little
    assert np.abs(loaded.logits[:, 0] - golden).max() < TOLERANCE


def test_a_pair_scores_the_same_in_any_company_and_order(loaded: Loaded) -> None:
    """Among rows of other lengths: what is behind a row's end is in no mean."""
    for seed in (7, 8):
        picked = [int(i) for i in np.random.default_rng(seed).permutation(len(loaded.rows))[:24]]
        again = loaded.model.engine.forward([loaded.rows[i] for i in picked])
        assert np.abs(again - loaded.logits[picked]).max() < INDEPENDENCE
    twice = loaded.model.engine.forward([loaded.rows[3]] * 3)
    assert (twice == twice[0]).all()


def test_a_token_sees_those_behind_it(loaded: Loaded) -> None:
    """With a causal mask the mean without the last token would not change with it."""
    row = loaded.rows[0]
    ids = row.ids.copy()
    ids[-1] = (ids[-1] + 7) % 1000
    whole = loaded.model.engine.forward([row])
    changed = loaded.model.engine.forward([Row(ids, ids.size)])
    assert np.abs(changed - whole).max() > 1e-4


def test_an_instruction_is_ignored_with_a_warning(loaded: Loaded) -> None:
    prepared = loaded.model.prepare(ask("q", "d", instruction="Find."))
    assert prepared.warnings == ("tiny has no place for an instruction; it was ignored.",)
    assert prepared.rows[0].ids.tolist() == loaded.model.prepare(ask("q", "d")).rows[0].ids.tolist()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"pooling": "cls"}, "pooling 'cls'"),
        ({"is_causal": True}, "is_causal true"),
        ({"attention_bias": True}, "attention_bias true"),
        ({"mlp_bias": True}, "mlp_bias true"),
        ({"rope_scaling": {"rope_type": "yarn", "factor": 2}}, "rope type 'yarn'"),
        (
            {"rope_scaling": {"rope_type": "llama3", "low_freq_factor": 4}},
            "high_freq_factor 4.0, which is not over low_freq_factor",
        ),
        ({"temperature": 0}, "temperature"),
    ],
)
def test_what_is_not_computed_is_refused_by_key(
    change: dict[str, object], says: str, tmp_path: Path
) -> None:
    path = write_nemotron(tmp_path) / "config.json"
    fields = json.loads(path.read_text(encoding="utf-8")) | change
    path.write_text(json.dumps(fields), encoding="utf-8")
    with pytest.raises(StartError) as caught:
        load(Spec(name="tiny", folder=tmp_path))
    assert "config.json" in str(caught.value)
    assert says in str(caught.value)


def test_two_labels_and_torch_are_refused(tmp_path: Path) -> None:
    folder = write_nemotron(tmp_path / "two", labels=2)
    with pytest.raises(StartError, match=r"2 labels \(only 1\)"):
        load(Spec(name="tiny", folder=folder))
    folder = write_nemotron(tmp_path / "one")
    with pytest.raises(StartError, match="has no bidirectional Llama yet"):
        load(Spec(name="tiny", folder=folder, options=LoadOptions(engine="torch")))
