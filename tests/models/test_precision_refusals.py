"""A precision that a kind of model has not is refused by every loader, and no body is read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rerankd.core.errors import PrecisionUnavailable, StartError
from rerankd.core.options import LoadOptions
from rerankd.models.load import Spec, load
from rerankd.models.weights import SafetensorsFolder
from tests.checkpoints import (
    bert,
    bi_encoder,
    colbert,
    deberta,
    decoder,
    gte,
    jina_bert,
    listwise,
    modernbert,
    module_head,
)

# small, behind the body: of modules of their own
HEADS = {"linear.weight", "linear.bias", "norm.weight", "norm.bias"}
KINDS: dict[str, Callable[[Path], Path]] = {
    "bert": lambda folder: bert.write(folder, bert.TINY_BERT),
    "modernbert": lambda folder: modernbert.write(folder, modernbert.TINY),
    "deberta-v2": lambda folder: deberta.write(folder, deberta.TINY),
    "gte": lambda folder: gte.write(folder, gte.TINY),
    "jina-bert": lambda folder: jina_bert.write(folder, jina_bert.TINY),
    "a cross-encoder of modules": lambda folder: module_head.write(folder, module_head.TINY),
    "a qwen3 decoder": lambda folder: decoder.write(folder, decoder.TINY_QWEN3),
    "a listwise model": lambda folder: listwise.write(folder, listwise.TINY),
    "a ColBERT model": lambda folder: colbert.write(folder, colbert.PYLATE),
    "an embedding model": lambda folder: bi_encoder.write(folder, bi_encoder.BGE),
}


@pytest.mark.parametrize("kind", KINDS)
def test_fp16_is_refused_by_name_before_the_body_is_read(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    plain = SafetensorsFolder.__call__

    def spied(weights: SafetensorsFolder, name: str) -> Any:
        read.append(name)
        return plain(weights, name)

    monkeypatch.setattr(SafetensorsFolder, "__call__", spied)
    spec = Spec(
        name="tiny", folder=KINDS[kind](tmp_path / "m"), options=LoadOptions(precision="fp16")
    )
    with pytest.raises(PrecisionUnavailable) as refused:
        load(spec)
    says = f'precision = "fp16" is not for {kind}, which OpenVINO runs in fp32'
    assert says in str(refused.value)
    assert set(read) <= HEADS, read


@pytest.mark.parametrize("kind", KINDS)
def test_two_words_that_contradict_each_other_are_refused(kind: str, tmp_path: Path) -> None:
    options = LoadOptions(precision="fp32", quantization="int8")
    with pytest.raises(StartError, match="contradict each other; leave quantization unset"):
        load(Spec(name="tiny", folder=KINDS[kind](tmp_path / "m"), options=options))
