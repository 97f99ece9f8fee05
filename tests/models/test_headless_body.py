"""Encoders without a head: what is opened, and what is refused by name."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file  # pyright: ignore[reportUnknownVariableType] - PathLike
from tokenizers import Tokenizer

from rerankd.core.errors import StartError
from rerankd.models.body import open_body
from rerankd.models.dense_module import read_dense
from rerankd.models.single_template import single_template
from tests.checkpoints import bert
from tests.checkpoints.body import SHAPES, TINY_BERT, write
from tests.checkpoints.made import uniform

_IDENTITY = "torch.nn.modules.linear.Identity"


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("is_prefixed", [False, True])
def test_opens_with_and_without_the_prefix(tmp_path: Path, name: str, *, is_prefixed: bool) -> None:
    """The same tensors, under the names of either form."""
    body = open_body(write(tmp_path, SHAPES[name], is_prefixed=is_prefixed))
    assert body.config.labels == 0
    assert body.config.hidden == 32


@pytest.mark.parametrize("name", SHAPES)
def test_a_single_text_has_the_special_tokens_of_its_tokenizer(tmp_path: Path, name: str) -> None:
    """Those that the library puts around one text, not around a pair."""
    body = open_body(write(tmp_path, SHAPES[name]))
    text, own = "one text", Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    own.no_padding()
    ids = np.asarray(own.encode(text, add_special_tokens=False).ids, np.int32)
    assert single_template(body.tokenizer).ids(ids).tolist() == own.encode(text).ids


def test_heads_are_left_unread(tmp_path: Path) -> None:
    """A pooler, as BertModel saves it, is not asked for and not in the way."""
    folder = write(tmp_path, TINY_BERT)
    made = {n.removeprefix("bert."): t for n, t in bert.tensors(TINY_BERT).items() if "bert." in n}
    save_file(made, folder / "model.safetensors")
    open_body(folder)


def test_what_is_no_encoder_is_refused(tmp_path: Path) -> None:
    """By architecture, and by a model_type that does not go with it."""
    folder = write(tmp_path / "a", TINY_BERT, architectures=["T5Model"])
    with pytest.raises(StartError, match="T5Model"):
        open_body(folder)
    folder = write(tmp_path / "b", TINY_BERT, model_type="xlm-roberta", auto_map={"AutoModel": "x"})
    with pytest.raises(StartError, match=r"'xlm-roberta'.*auto_map"):
        open_body(folder)


def module(folder: Path, **change: object) -> Path:
    """A Dense module of 32 to 8 values with a projected residual."""
    folder.mkdir(parents=True, exist_ok=True)
    fields: dict[str, object] = {
        "in_features": 32,
        "out_features": 8,
        "bias": False,
        "activation_function": _IDENTITY,
        "use_residual": True,
    }
    (folder / "config.json").write_text(json.dumps(fields | change), encoding="utf-8")
    tensors = {f"{part}.weight": uniform(part, (8, 32), 1.0) for part in ("linear", "residual")}
    save_file(tensors, folder / "model.safetensors")
    return folder


def test_a_dense_module(tmp_path: Path) -> None:
    """Its sizes, residual and activation."""
    dense = read_dense(module(tmp_path), 32, reads="token_embeddings")
    assert (dense.inputs, dense.outputs, dense.activation) == (32, 8, "identity")
    assert dense.is_residual
    assert dense.residual is not None
    assert dense.bias is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"activation_function": None}, "Tanh and PyLate none"),
        ({"activation_function": "torch.nn.modules.activation.Mish"}, "Mish"),
        ({"activation_function": "mine.Identity"}, "mine.Identity"),
        ({"in_features": 16}, "in_features 16 behind 32 values"),
        ({"module_input_name": "sentence_embedding"}, "module_input_name 'sentence_embedding'"),
        ({"module_output_name": "scores"}, "module_output_name 'scores'"),
        ({"bias": True}, "linear.bias"),
        ({"use_residual": False}, "residual.weight"),
    ],
)
def test_a_dense_module_that_says_something_else(
    tmp_path: Path, change: dict[str, object], said: str
) -> None:
    """Refused by file and key."""
    with pytest.raises(StartError, match=said) as refused:
        read_dense(module(tmp_path, **change), 32, reads="token_embeddings")
    assert str(tmp_path) in str(refused.value)
