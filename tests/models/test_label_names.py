"""Two labels: the one that speaks for a document is told by its name, where it has one."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rerankd.core.errors import StartError
from rerankd.core.request import Content, RerankRequest
from rerankd.models.base import pointwise
from rerankd.models.label_names import relevant_label
from rerankd.models.load import Spec, load
from tests.checkpoints import bert

TWO = replace(bert.TINY_BERT, labels=2)


def config(folder: Path, labels: object) -> Path:
    path = folder / "config.json"
    path.write_text(json.dumps({"id2label": labels}), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("labels", "index"),
    [
        (["LABEL_0", "LABEL_1"], 1),
        (["irrelevant", "relevant"], 1),
        (["relevant", "irrelevant"], 0),
        (["Relevant", "Not Relevant"], 0),
        (["entailment", "not_entailment"], 0),
        (["contradiction", "entailment"], 1),
        (["ENTAILMENT", "neutral"], 0),
        (["contradiction", "neutral"], 1),
        (["neutral", "contradiction"], 0),
        (["not_duplicate", "duplicate"], 1),
        (["is_duplicate", "is_not_duplicate"], 0),
        (["Yes", "No"], 0),
        (["0", "1"], 1),
        ([0, 1], 1),
        ([None, "non-relevant"], 0),
        (["LABEL_0"], 1),
    ],
    ids=str,
)
def test_names_say_which_label_counts(labels: list[object], index: int, tmp_path: Path) -> None:
    named = {str(i): name for i, name in enumerate(labels)}
    assert relevant_label(config(tmp_path, named)) == index


@pytest.mark.parametrize("labels", [None, {}, {"1": "relevant", "2": "irrelevant"}])
def test_without_names_the_second_label_counts(labels: object, tmp_path: Path) -> None:
    assert relevant_label(config(tmp_path, labels)) == 1


@pytest.mark.parametrize("labels", [["yes", "relevant"], ["irrelevant", "no"], ["irrelevant"]])
def test_names_that_contradict_each_other_are_refused(labels: list[str], tmp_path: Path) -> None:
    with pytest.raises(StartError, match=r"config\.json: id2label"):
        relevant_label(config(tmp_path, dict(enumerate(labels))))


def test_a_ranking_follows_the_names(tmp_path: Path) -> None:
    """The same weights under turned names give the opposite logits."""
    documents = tuple(Content(value=text) for text in ("a b c", "Paris", "an egg in water"))
    request = RerankRequest(query=Content(value="eggs"), documents=documents)
    logits: list[Any] = []
    for names in (["irrelevant", "relevant"], ["relevant", "irrelevant"]):
        made = bert.write(tmp_path / names[0], TWO)
        path = made / "config.json"
        fields = json.loads(path.read_text(encoding="utf-8"))
        fields["id2label"] = dict(enumerate(names))
        path.write_text(json.dumps(fields), encoding="utf-8")
        model = pointwise(load(Spec(name="mine", folder=made)).model)
        logits.append(model.logit(model.engine.forward(model.prepare(request).rows)))
        model.engine.close()
    assert np.ptp(logits[0]) > 0.01
    np.testing.assert_allclose(logits[0], -logits[1], rtol=1e-6)
