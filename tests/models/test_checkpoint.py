"""What a checkpoint folder must hold, and what is said when it does not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from safetensors.numpy import save_file  # pyright: ignore[reportUnknownVariableType] - PathLike

from rerankd.core.errors import StartError
from rerankd.models.checkpoint import open_checkpoint
from tests.checkpoints.bert import TINY_BERT, TINY_XLMR, Shape, tensors, write

Folder = Callable[..., Path]
FIRST = "bert.encoder.layer.0.attention.self.query.weight"


@pytest.fixture
def bert(tmp_path: Path) -> Path:
    return write(tmp_path / "bert", TINY_BERT)


def edit(path: Path, **change: Any) -> None:
    """Change fields of a JSON file; None removes one."""
    fields = json.loads(path.read_text(encoding="utf-8")) | change
    kept = {name: value for name, value in fields.items() if value is not None}
    path.write_text(json.dumps(kept), encoding="utf-8")


@pytest.mark.parametrize("shape", [TINY_BERT, TINY_XLMR], ids=["bert", "xlm-roberta"])
def test_every_tensor_is_read_as_it_was_written(tmp_path: Path, shape: Shape) -> None:
    checkpoint = open_checkpoint(write(tmp_path, shape))
    for name, tensor in tensors(shape).items():
        got = checkpoint.weights(name.removeprefix(shape.prefix))
        assert got.dtype == np.float32
        np.testing.assert_array_equal(got, tensor)
    assert checkpoint.config.max_length == 128
    assert checkpoint.model_max_length == 128


def test_the_tokenizers_own_truncation_and_padding_are_off(bert: Path) -> None:
    tokenizer = open_checkpoint(bert).tokenizer
    assert "truncation" in (bert / "tokenizer.json").read_text(encoding="utf-8")
    assert len(tokenizer.encode("a").ids) == 3
    assert len(tokenizer.encode("a " * 100).ids) == 102


def test_old_layer_norm_names_and_buffers_are_understood(tmp_path: Path) -> None:
    made = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
            "LayerNorm.bias", "LayerNorm.beta"
        ): tensor
        for name, tensor in tensors(TINY_BERT).items()
    }
    buffer: npt.NDArray[Any] = np.arange(128, dtype=np.int64)[None]
    save: dict[str, Any] = {**made, "bert.embeddings.position_ids": buffer}
    checkpoint = open_checkpoint(write(tmp_path, TINY_BERT, save))
    wanted = made["bert.embeddings.LayerNorm.gamma"]
    np.testing.assert_array_equal(checkpoint.weights("embeddings.LayerNorm.weight"), wanted)


def test_a_pretraining_pooler_of_roberta_is_not_read(tmp_path: Path) -> None:
    made = tensors(TINY_XLMR) | {"roberta.pooler.dense.bias": np.zeros(32, dtype=np.float32)}
    open_checkpoint(write(tmp_path, TINY_XLMR, made))


def test_half_precision_becomes_float32_exactly(tmp_path: Path) -> None:
    half: dict[str, Any] = {k: v.astype(np.float16) for k, v in tensors(TINY_BERT).items()}
    checkpoint = open_checkpoint(write(tmp_path, TINY_BERT, half))
    got = checkpoint.weights(FIRST.removeprefix("bert."))
    np.testing.assert_array_equal(got, half[FIRST].astype(np.float32))


def test_bfloat16_becomes_float32_exactly(bert: Path) -> None:
    """numpy has no bfloat16, so the file is written by hand."""
    header: dict[str, Any] = {}
    data = b""
    wanted: dict[str, npt.NDArray[np.float32]] = {}
    for name, tensor in tensors(TINY_BERT).items():
        upper = (tensor.view(np.uint32) >> 16).astype("<u2")
        wanted[name] = (upper.astype(np.uint32) << 16).view(np.float32)
        header[name] = {
            "dtype": "BF16",
            "shape": list(tensor.shape),
            "data_offsets": [len(data), len(data) + upper.nbytes],
        }
        data += upper.tobytes()
    text = json.dumps(header).encode()
    file = bert / "model.safetensors"
    file.write_bytes(len(text).to_bytes(8, "little") + text + data)
    weights = open_checkpoint(bert).weights
    for name, tensor in wanted.items():
        np.testing.assert_array_equal(weights(name.removeprefix("bert.")), tensor)


def shard(folder: Path) -> dict[str, str]:
    """Split model.safetensors in two, and return the index's map."""
    names = sorted(tensors(TINY_BERT))
    made = tensors(TINY_BERT)
    where: dict[str, str] = {}
    for i, part in enumerate((names[:20], names[20:]), start=1):
        file = f"model-0000{i}-of-00002.safetensors"
        save_file({name: made[name] for name in part}, folder / file)
        where |= dict.fromkeys(part, file)
    (folder / "model.safetensors").unlink()
    write_index(folder, where)
    return where


def write_index(folder: Path, where: dict[str, str]) -> None:
    path = folder / "model.safetensors.index.json"
    path.write_text(json.dumps({"metadata": {}, "weight_map": where}), encoding="utf-8")


def test_shards_are_read_through_the_index(bert: Path) -> None:
    shard(bert)
    weights = open_checkpoint(bert).weights
    for name, tensor in tensors(TINY_BERT).items():
        np.testing.assert_array_equal(weights(name.removeprefix("bert.")), tensor)


@pytest.mark.parametrize(
    "file",
    [
        "../model.safetensors",
        "/etc/model.safetensors",
        "a/../../b.safetensors",
        "c:\\b.safetensors",
    ],
)
def test_a_shard_outside_of_the_folder_is_refused(bert: Path, file: str) -> None:
    where = shard(bert)
    write_index(bert, where | {FIRST: file})
    with pytest.raises(StartError, match=r"not a \.safetensors file inside the folder"):
        open_checkpoint(bert)


def test_a_missing_shard_is_named(bert: Path) -> None:
    where = shard(bert)
    (bert / where[FIRST]).unlink()
    with pytest.raises(StartError, match=where[FIRST]):
        open_checkpoint(bert)


def test_an_index_that_lists_what_a_shard_lacks_is_refused(bert: Path) -> None:
    where = shard(bert)
    write_index(bert, where | {"bert.extra": where[FIRST]})
    with pytest.raises(StartError, match=r"lacks bert\.extra"):
        open_checkpoint(bert)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
def test_a_missing_file_is_named(bert: Path, name: str) -> None:
    (bert / name).unlink()
    with pytest.raises(StartError, match=name):
        open_checkpoint(bert)


def test_no_folder_is_said(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="not a folder"):
        open_checkpoint(tmp_path / "none")


def test_a_pickle_is_never_opened(bert: Path) -> None:
    (bert / "model.safetensors").unlink()
    (bert / "pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'false'\ntR.")
    with pytest.raises(StartError, match="pickle"):
        open_checkpoint(bert)


@pytest.mark.parametrize("keep", [0, 7, 100, -1000], ids=["empty", "size", "header", "data"])
def test_a_truncated_file_is_refused(bert: Path, keep: int) -> None:
    file = bert / "model.safetensors"
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(StartError, match="damaged or cut short"):
        open_checkpoint(bert)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "tokenizer_config.json"])
def test_a_damaged_json_file_is_named(bert: Path, name: str) -> None:
    (bert / name).write_text("{", encoding="utf-8")
    with pytest.raises(StartError, match=name):
        open_checkpoint(bert)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"architectures": ["BertModel"]}, "BertModel"),
        ({"architectures": ["NewForSequenceClassification"]}, "never run"),
        ({"architectures": []}, "not supported"),
        ({"architectures": None}, "architectures"),
        ({"model_type": "electra"}, "electra"),
        ({"hidden_act": "gelu_new"}, "gelu_new"),
        ({"position_embedding_type": "relative_key"}, "relative_key"),
        ({"is_decoder": True}, "is_decoder"),
        ({"id2label": {"0": "a", "1": "b", "2": "c"}}, "3 labels"),
        ({"num_attention_heads": 5}, "does not divide"),
        ({"hidden_size": "32"}, "hidden_size"),
        ({"num_hidden_layers": 3}, "missing 16"),
        ({"num_hidden_layers": 1}, "unused 16"),
        ({"id2label": {"0": "a", "1": "b"}}, "classifier.weight"),
        ({"id2label": None}, "classifier.weight"),
        ({"vocab_size": 100}, "another model"),
        ({"pad_token_id": -1}, "pad_token_id"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_config_that_cannot_be_served_says_why(
    bert: Path, change: dict[str, Any], says: str
) -> None:
    edit(bert / "config.json", **change)
    with pytest.raises(StartError, match=says):
        open_checkpoint(bert)


def test_remote_code_is_ignored(bert: Path) -> None:
    (bert / "evil.py").write_text("raise SystemExit", encoding="utf-8")
    edit(bert / "config.json", auto_map={"AutoModel": "evil.Model"})
    open_checkpoint(bert)


def test_the_folders_name_decides_nothing(tmp_path: Path) -> None:
    checkpoint = open_checkpoint(write(tmp_path / "bge-reranker-v2-m3", TINY_BERT))
    assert checkpoint.config.architecture == "bert"


def test_quantised_weights_are_refused(tmp_path: Path) -> None:
    made: dict[str, Any] = dict(tensors(TINY_BERT))
    made[FIRST] = made[FIRST].astype(np.int8)
    with pytest.raises(StartError, match="only F32, F16 and BF16"):
        open_checkpoint(write(tmp_path, TINY_BERT, made))


@pytest.mark.parametrize(("declared", "limit"), [(64, 64), (10**30, None), (None, None), (0, None)])
def test_model_max_length_counts_only_when_it_is_a_limit(
    bert: Path, declared: int | None, limit: int | None
) -> None:
    edit(bert / "tokenizer_config.json", model_max_length=declared)
    assert open_checkpoint(bert).model_max_length == limit
