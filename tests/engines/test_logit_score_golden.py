"""Decoders with a chat template against sentence-transformers' scores (golden-logit-score.json)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from rerankd.core.request import Content, RerankRequest
from rerankd.core.rows import Logits, Row
from rerankd.models.causal_yes_no import CausalYesNo, load_causal_yes_no
from rerankd.models.decoder_prompt import PromptWord
from tests.checkpoints.logit_score import CLASSIFIERS, Form, write
from tests.reference.make_decoder_goldens import Item
from tests.reference.make_logit_score_goldens import FORMS, GOLDEN, items_of, window

pytestmark = pytest.mark.timeout(1800)  # slow

TOLERANCE = 1e-4  # to sentence-transformers, on other kernels
INDEPENDENCE = 1e-5  # to ourselves: another batch


@dataclass(frozen=True)
class Loaded:
    """A folder of one form, and our rows and logits of all pairs."""

    name: str
    model: CausalYesNo
    rows: tuple[Row, ...]
    logits: Logits


def load_form(folder: Path, name: str, form: Form) -> CausalYesNo:
    """A folder's model; one without a template by the operator's word."""
    return load_causal_yes_no(
        write(folder, form),
        name=name,
        said=PromptWord(
            recipe="plain" if form.template is None else None,
            logit_score=None if form.true_token is None else folder / "1_LogitScore",
            default_instruction=form.prompts.get(form.default_prompt or ""),
        ),
    )


def rows_of(model: CausalYesNo, item: Item) -> tuple[Row, ...]:
    request = RerankRequest(
        query=Content(value=item["query"]),
        documents=(Content(value=item["document"]),),
        instruction=item["instruction"],
        max_chunks_per_doc=1,
    )
    return model.prepare(request).rows


@pytest.fixture(scope="module", params=list(FORMS))
def loaded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    name: str = request.param
    model = load_form(tmp_path_factory.mktemp(name), name, FORMS[name])
    cut = model.with_window(window(name))
    rows = tuple(row for item in items_of(name) for row in rows_of(cut, item))
    return Loaded(name, model, rows, model.engine.forward(rows))


def test_every_pair_scores_as_sentence_transformers_scores_it(loaded: Loaded) -> None:
    golden = np.array(json.loads(GOLDEN.read_text(encoding="utf-8"))[loaded.name])
    assert len(golden) >= 300
    assert golden.std() > 0.5  # else agreement says little
    assert np.abs(loaded.logits[:, 0] - golden).max() < TOLERANCE


def test_a_pair_scores_the_same_in_any_company_and_order(loaded: Loaded) -> None:
    picked = [int(i) for i in np.random.default_rng(7).permutation(len(loaded.rows))[:24]]
    again = loaded.model.engine.forward([loaded.rows[i] for i in picked])
    assert np.abs(again - loaded.logits[picked]).max() < INDEPENDENCE
    twice = loaded.model.engine.forward([loaded.rows[picked[0]]] * 3)
    assert (twice == twice[0]).all()


@pytest.mark.parametrize("name", [name for name in FORMS if FORMS[name].template is not None])
def test_another_prompt_scores_otherwise(name: str, tmp_path: Path) -> None:
    """What a server does that does not read the template: the pair as it is, or another model's."""
    golden = np.array(json.loads(GOLDEN.read_text(encoding="utf-8"))[name][:8])
    form = FORMS[name]
    other = "zerank" if "zerank" not in name else "qwen3-reranker"
    for wrong in ("plain", other):
        folder = write(tmp_path / wrong, form)
        module = None if form.shape.labels else folder / "1_LogitScore"
        said = PromptWord(recipe=wrong, logit_score=module)
        model = load_causal_yes_no(folder, name=name, said=said)
        rows = [row for item in items_of(name)[:8] for row in rows_of(model, item)]
        assert np.abs(model.engine.forward(rows)[:, 0] - golden).max() > 0.1


def test_of_two_labels_the_names_say_which_one_is_relevant(tmp_path: Path) -> None:
    form = CLASSIFIERS["qwen2-pair"]
    folder = write(tmp_path, form)
    said = PromptWord(recipe="plain")
    plain = load_causal_yes_no(folder, name="tiny", said=said)
    path = folder / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    names = {"id2label": {"0": "relevant", "1": "irrelevant"}}
    path.write_text(json.dumps(config | names), encoding="utf-8")
    turned = load_causal_yes_no(folder, name="tiny", said=said)
    row = rows_of(plain, items_of("qwen2-pair-classifier")[0])
    assert turned.engine.forward(row) == -plain.engine.forward(row)
