"""Models of one folder run one compiled graph, and it is freed with the last of them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, cast

import pytest

from rerankd.core.options import LoadOptions
from rerankd.core.request import Content, RerankRequest
from rerankd.core.rows import Scores
from rerankd.engines.graph_source import current_files, files_of, made_from
from rerankd.engines.openvino.shared_graphs import running
from rerankd.models.base import Model
from rerankd.models.load import load, resolve
from tests.checkpoints.bert import GOLDEN_SHAPES, write


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(tmp_path / "model", GOLDEN_SHAPES["tiny-bert"])


def opened(name: str, folder: Path, **options: Any) -> Model:
    return cast("Model", load(resolve(f"{name}={folder}", LoadOptions(**options))).model)


def logits(model: Model) -> Scores:
    documents = (Content(value="Paris is a city."), Content(value="An egg."))
    rows = model.prepare(RerankRequest(query=Content(value="Paris"), documents=documents)).rows
    return model.logit(model.engine.forward(rows))


def test_a_second_model_of_a_folder_runs_the_graph_of_the_first(folder: Path) -> None:
    before = running()
    first, second = opened("a", folder), opened("b", folder, window_tokens=32)
    assert running() == before + 1
    assert first.card.window_tokens != second.card.window_tokens
    expected = logits(first)
    first.engine.close()
    first.engine.close()
    assert (logits(second) == expected).all(), "the graph is there for who still runs it"
    assert running() == before + 1
    third = opened("c", folder)
    second.engine.close()
    assert (logits(third) == expected).all()
    third.engine.close()
    assert running() == before, "nobody runs it: it is freed"


@pytest.mark.parametrize("options", [{"streams": 3}, {"quantization": "int8"}])
def test_another_way_to_run_it_is_another_graph(folder: Path, options: dict[str, Any]) -> None:
    before = running()
    first, second = opened("a", folder), opened("b", folder, **options)
    assert running() == before + 2
    first.engine.close()
    second.engine.close()


def test_a_file_that_was_replaced_is_another_graph(folder: Path) -> None:
    before = running()
    first = opened("a", folder)
    weights = folder / "model.safetensors"
    shutil.copy(weights, folder / "new")
    (folder / "new").replace(weights)
    second = opened("a", folder)
    assert running() == before + 2
    first.engine.close()
    second.engine.close()


def test_files_are_known_only_while_a_model_is_loaded(folder: Path) -> None:
    files = files_of(folder)
    assert len(files) == 1
    with made_from(files):
        assert current_files() == files
    assert current_files() == ()
