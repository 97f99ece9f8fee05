"""The score space of a folder: another one for whatever would change its scores."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file  # pyright: ignore[reportUnknownVariableType]

from rerankd.core.options import LoadOptions
from rerankd.models.load import load, resolve
from rerankd.models.space import space_of
from tests.checkpoints import colbert, logit_score, module_head


def space(folder: Path, options: LoadOptions | None = None) -> str:
    """As the server calls it."""
    spec = resolve(f"m={folder}", options or LoadOptions())
    model = load(spec).model
    model.engine.close()
    return space_of(model, spec.folder, spec.options.prompt)


def _logit_score(folder: Path) -> Path:
    return logit_score.write(folder, logit_score.QWEN3_ST)


def _ettin(folder: Path) -> Path:
    return module_head.write(folder, module_head.TINY)


def _stanford(folder: Path) -> Path:
    return colbert.write(folder, colbert.STANFORD)


def _other_field(path: Path, **change: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | change))


def _answer(folder: Path) -> None:
    _other_field(folder / "1_LogitScore" / "config.json", true_token_id=77)


def _template(folder: Path) -> None:
    path = folder / "chat_template.jinja"
    path.write_text(path.read_text().replace("Given a web", "Given another web"))


def _weights(folder: Path) -> None:
    path = folder / "4_Dense" / "model.safetensors"
    made = {name: np.negative(tensor) for name, tensor in load_file(path).items()}
    save_file(made, path)


def _query_length(folder: Path) -> None:
    _other_field(folder / "artifact.metadata", query_maxlen=20)


@pytest.mark.parametrize(
    ("write", "change"),
    [
        (_logit_score, _answer),
        (_ettin, _weights),
        (_stanford, _query_length),
    ],
    ids=["answer", "head", "query-length"],
)
def test_files_beside_the_model_are_part_of_it(
    write: Callable[[Path], Path], change: Callable[[Path], None], tmp_path: Path
) -> None:
    before = space(write(tmp_path / "one"))
    shutil.copytree(tmp_path / "one", tmp_path / "same")
    assert space(tmp_path / "same") == before
    change(tmp_path / "one")
    assert space(tmp_path / "one") != before


def test_a_chat_template_is_part_of_it(tmp_path: Path) -> None:
    folder = _logit_score(tmp_path)
    told = LoadOptions(prompt="qwen3-reranker")  # so that any template loads
    before = space(folder, told)
    _template(folder)
    assert space(folder, told) != before


def test_the_operators_prompt_and_scale_are_part_of_it(tmp_path: Path) -> None:
    folder = _logit_score(tmp_path)
    said = [LoadOptions(), LoadOptions(prompt="zerank"), LoadOptions(score="sigmoid")]
    assert len({space(folder, options) for options in said}) == len(said)
