"""The goldens of decoders with chat templates are what sentence-transformers says today.

Run by `pytest -m reference`; without torch and sentence-transformers these fail.
"""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rerankd.core.options import LoadOptions
from rerankd.core.request import Content, RerankRequest
from rerankd.models.load import Spec, load
from rerankd.models.template_expression import Form, TextSlot
from rerankd.models.template_form import template_forms
from tests.checkpoints.logit_score import LOGIT_SCORES, write
from tests.reference.make_decoder_goldens import Item
from tests.reference.make_logit_score_goldens import FORMS, GOLDEN, Reference, items_of, window

pytestmark = [pytest.mark.reference, pytest.mark.timeout(1800)]


@pytest.mark.parametrize("name", list(FORMS))
def test_goldens_rows_and_scores_are_those_of_live_sentence_transformers(
    name: str, tmp_path: Path
) -> None:
    form = FORMS[name]
    folder = write(tmp_path, form)
    reference = Reference(folder, form, window(name))
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))[name]
    items = items_of(name)
    live = np.array([reference.logit(item) for item in items])
    np.testing.assert_allclose(live, golden, rtol=0, atol=1e-4)
    options = LoadOptions(
        prompt="plain" if form.template is None else None, window_tokens=window(name)
    )
    model: Any = load(Spec(name=name, folder=folder, options=options)).model
    rows = [row for item in items for row in model.prepare(asked(item)).rows]
    for item, row in zip(items, rows, strict=True):
        assert row.ids.tolist() == reference.ids(item)
    logits = model.logit(model.engine.forward(rows))
    np.testing.assert_allclose(logits, live, rtol=0, atol=1e-4)
    if form.shape.labels != 2:  # there the library's own is the second label's logit
        scores = [reference.score(item) for item in items[:8]]
        ours = [model.relevance(float(logit)) for logit in logits[:8]]
        np.testing.assert_allclose(ours, scores, rtol=0, atol=1e-4)


def asked(item: Item) -> RerankRequest:
    return RerankRequest(
        query=Content(value=item["query"]),
        documents=(Content(value=item["document"]),),
        instruction=item["instruction"],
        max_chunks_per_doc=1,
    )


def filled(form: Form, texts: dict[str, str]) -> str:
    """A form with texts in its slots."""
    return "".join(texts[part.role] if isinstance(part, TextSlot) else part for part in form)


@pytest.mark.parametrize("name", list(LOGIT_SCORES))
def test_a_template_read_is_a_template_rendered(name: str) -> None:
    """By the environment that transformers renders templates in."""
    utils: Any = importlib.import_module("transformers.utils.chat_template_utils")
    template = LOGIT_SCORES[name].template
    assert template is not None
    texts = {"query": "a {{ q }}", "document": "\n d", "system": "s", "bos": "<s>"}
    plain, instructed = template_forms(template, adds_generation_prompt=True)
    for form, roles in ((plain, ("query", "document")), (instructed, texts.keys() - {"bos"})):
        messages = [
            {"role": role, "content": texts[role]}
            for role in ("system", "query", "document")
            if role in roles
        ]
        made = utils._compile_jinja_template(template).render(
            messages=messages, add_generation_prompt=True, bos_token="<s>"
        )
        assert made == filled(form, texts)


@pytest.mark.parametrize("name", ["zerank", "contextual-mistral", "qwen3-classifier"])
def test_the_torch_engine_gives_the_same_scores(name: str, tmp_path: Path) -> None:
    """One token's logit, another architecture, a classifier's row."""
    options = LoadOptions(engine="torch", device="cpu", window_tokens=window(name))
    folder = write(tmp_path, FORMS[name])
    model: Any = load(Spec(name=name, folder=folder, options=options)).model
    rows = [row for item in items_of(name)[:60] for row in model.prepare(asked(item)).rows]
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))[name][:60]
    logits = model.logit(model.engine.forward(rows))
    np.testing.assert_allclose(logits, golden, rtol=0, atol=1e-4)
