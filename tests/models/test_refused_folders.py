"""What every family refuses before it is served: the list of what may be wrong with a folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import (
    load_file,  # pyright: ignore[reportUnknownVariableType] - PathLike
    save_file,  # pyright: ignore[reportUnknownVariableType] - PathLike
)
from tokenizers import Tokenizer

from rerankd.core.errors import StartError
from rerankd.models.load import Spec, load
from tests.checkpoints import bert, deberta, decoder, jina, modernbert

WRITERS: dict[str, Callable[[Path], Path]] = {
    "bert": partial(bert.write, shape=bert.TINY_BERT),
    "xlm-roberta": partial(bert.write, shape=bert.TINY_XLMR),
    "roberta": partial(bert.write, shape=bert.TINY_ROBERTA),
    "jina": jina.write,
    "modernbert": partial(modernbert.write, shape=modernbert.TINY),
    "deberta-v2": partial(deberta.write, shape=deberta.TINY),
    "qwen3": partial(decoder.write, shape=decoder.TINY_QWEN3),
    "qwen2": partial(decoder.write, shape=decoder.TINY_QWEN2),
}
DECODERS = ("qwen3", "qwen2")


@pytest.fixture(params=list(WRITERS))
def family(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def folder(family: str, tmp_path: Path) -> Path:
    return WRITERS[family](tmp_path)


def refused(folder: Path, says: str) -> None:
    with pytest.raises(StartError, match=says):
        load(Spec(name="wrong", folder=folder))


def weight_file(folder: Path) -> Path:
    return min(folder.glob("*.safetensors"))


def change_tensors(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Rewrite the first weight file."""
    file = weight_file(folder)
    tensors: dict[str, Any] = dict(load_file(file))
    change(tensors)
    save_file(tensors, file)


def test_a_weight_that_is_not_a_number_is_refused(folder: Path) -> None:
    def damage(tensors: dict[str, Any]) -> None:
        name = next(name for name in tensors if name.endswith("weight") and ".0." in name)
        tensors[name] = np.full_like(tensors[name], np.nan)

    change_tensors(folder, damage)
    refused(folder, "not finite")


def test_a_head_that_gives_every_pair_one_score_is_refused(folder: Path, family: str) -> None:
    def flatten(tensors: dict[str, Any]) -> None:
        for name, tensor in tensors.items():
            if name.startswith("classifier") or family in DECODERS:
                tensors[name] = np.zeros_like(tensor)

    change_tensors(folder, flatten)
    refused(folder, "the same score")


def test_a_missing_tensor_is_named(folder: Path) -> None:
    lost: list[str] = []

    def lose(tensors: dict[str, Any]) -> None:
        lost.append(next(name for name in tensors if ".0." in name))
        del tensors[lost[0]]

    change_tensors(folder, lose)
    refused(folder, r"missing \d|lacks")


def test_a_tensor_that_the_family_has_no_use_for_is_refused(folder: Path, family: str) -> None:
    file = folder / "model.safetensors.index.json"
    extra = "model.layers.0.extra" if family in DECODERS else "extra"
    change_tensors(folder, lambda made: made.update({extra: np.zeros(3, dtype=np.float32)}))
    if file.exists():
        index = json.loads(file.read_text(encoding="utf-8"))
        index["weight_map"][extra] = weight_file(folder).name
        file.write_text(json.dumps(index), encoding="utf-8")
    refused(folder, "unused 1")


def test_a_file_that_is_cut_short_is_refused(folder: Path) -> None:
    file = weight_file(folder)
    file.write_bytes(file.read_bytes()[:-40])
    refused(folder, "damaged or cut short")


def test_a_damaged_header_is_refused(folder: Path) -> None:
    file = weight_file(folder)
    data = bytearray(file.read_bytes())
    data[8:20] = b"\xff" * 12
    file.write_bytes(bytes(data))
    refused(folder, "damaged or cut short")


def test_a_pickle_alone_is_refused(folder: Path) -> None:
    for file in folder.glob("*.safetensors*"):
        file.unlink()
    (folder / "pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'false'\ntR.")
    refused(folder, "pickle")


def test_a_shard_outside_of_the_folder_is_refused(folder: Path) -> None:
    tensors = dict.fromkeys(load_file(weight_file(folder)), "../model.safetensors")
    (folder / "model.safetensors").unlink(missing_ok=True)
    index = json.dumps({"metadata": {}, "weight_map": tensors})
    (folder / "model.safetensors.index.json").write_text(index, encoding="utf-8")
    refused(folder, "inside the folder")


def test_code_that_comes_along_is_never_run(folder: Path) -> None:
    (folder / "evil.py").write_text("raise SystemExit(3)", encoding="utf-8")
    path = folder / "config.json"
    fields = json.loads(path.read_text(encoding="utf-8"))
    fields["auto_map"] = dict.fromkeys(("AutoConfig", "AutoModel"), "evil.Model")
    path.write_text(json.dumps(fields), encoding="utf-8")
    load(Spec(name="right", folder=folder)).model.engine.close()


def test_a_tokenizer_without_the_templates_special_tokens_is_refused(
    folder: Path, family: str
) -> None:
    path = folder / "tokenizer.json"
    raw: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if family in DECODERS:
        for token in raw["added_tokens"]:
            if token["content"] == "<|im_start|>":
                token["content"] = "<|start|>"
        vocab = raw["model"]["vocab"]
        vocab["<|start|>"] = vocab.pop("<|im_start|>")
    else:
        raw["post_processor"] = None
    path.write_text(json.dumps(raw), encoding="utf-8")
    Tokenizer.from_file(str(path))  # a whole tokenizer, of another model
    refused(folder, r"no token <\|im_start\|>" if family in DECODERS else "no special tokens")


def test_a_head_of_another_kind_is_refused(folder: Path) -> None:
    path = folder / "config.json"
    fields = json.loads(path.read_text(encoding="utf-8"))
    name: str = fields["architectures"][0]
    body = name.removesuffix("ForSequenceClassification").removesuffix("ForCausalLM")
    fields["architectures"] = [f"{body}ForMaskedLM"]
    path.write_text(json.dumps(fields), encoding="utf-8")
    refused(folder, "MaskedLM")


def test_a_mask_of_the_other_kind_is_refused(folder: Path, family: str) -> None:
    """transformers 5 lets is_causal decide what a token sees, but for DeBERTa's."""
    path = folder / "config.json"
    fields = json.loads(path.read_text(encoding="utf-8"))
    fields["is_causal"] = family not in DECODERS
    path.write_text(json.dumps(fields), encoding="utf-8")
    if family == "deberta-v2":
        load(Spec(name="right", folder=folder)).model.engine.close()
    else:
        refused(folder, "is_causal")
