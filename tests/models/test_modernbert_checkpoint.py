"""What a ModernBERT or jina folder must hold, and what is said when it does not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rerankd.core.errors import StartError
from rerankd.engines.modernbert_config import ModernBertConfig
from rerankd.models import hub
from rerankd.models.checkpoint import open_checkpoint
from rerankd.models.load import resolve
from tests.checkpoints import bert
from tests.checkpoints.bert import TINY_XLMR
from tests.checkpoints.jina import as_jina
from tests.checkpoints.jina import write as write_jina
from tests.checkpoints.made import Tensors
from tests.checkpoints.modernbert import TINY, TINY_LISTED, tensors, write

JINA = "jinaai/jina-reranker-v2-base-multilingual"


def opened(folder: Path) -> ModernBertConfig:
    config = open_checkpoint(folder).config
    assert isinstance(config, ModernBertConfig)
    return config


def test_the_published_form_of_config_json_is_understood(tmp_path: Path) -> None:
    config = opened(write(tmp_path, TINY))
    assert config.is_global == (True, False, False, True)
    assert (config.reach, config.norm_eps, config.max_length) == (8, 1e-5, 320)
    assert (config.global_theta, config.local_theta) == (160_000.0, 10_000.0)
    assert (config.pooling, config.labels, config.token_types) == ("mean", 1, 1)


def test_the_form_of_transformers_5_is_understood(tmp_path: Path) -> None:
    config = opened(write(tmp_path, TINY_LISTED))
    assert config.is_global == (False, True, False)
    assert config.reach == 5
    assert (config.global_theta, config.local_theta) == (50_000.0, 500.0)
    assert config.norm_bias
    assert config.attention_bias
    assert config.mlp_bias
    assert config.head_bias


def test_a_local_theta_of_null_is_the_global_one(tmp_path: Path) -> None:
    config = opened(write(tmp_path, TINY, local_rope_theta=None))
    assert config.local_theta == config.global_theta


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"hidden_activation": "silu"}, "silu"),
        ({"classifier_activation": "relu"}, "relu"),
        ({"classifier_pooling": "max"}, "classifier_pooling"),
        ({"local_attention": 1}, "local_attention"),
        ({"layer_types": ["full_attention"]}, "1 layer_types for num_hidden_layers 4"),
        ({"layer_types": ["chunked_attention"] * 4}, "chunked_attention"),
        ({"rope_parameters": {"full_attention": {"rope_type": "yarn"}}}, "yarn"),
        ({"rope_scaling": {"rope_type": "linear", "factor": 2.0}}, "rope_scaling"),
        ({"num_attention_heads": 32}, "even"),
        ({"num_attention_heads": 5}, "even"),
        ({"id2label": {"0": "a", "1": "b", "2": "c"}}, "3 labels"),
        ({"num_hidden_layers": 3}, "unused 6"),
        ({"mlp_bias": True}, "missing 8"),
        ({"norm_bias": True}, "missing 10"),
        ({"intermediate_size": 50}, "different models"),
        ({"vocab_size": 100}, "another model"),
        ({"model_type": "bert"}, "not supported"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_config_that_cannot_be_served_says_why(
    change: dict[str, object], says: str, tmp_path: Path
) -> None:
    with pytest.raises(StartError, match=says):
        open_checkpoint(write(tmp_path, TINY, **change))


def test_every_tensor_is_read_as_it_was_written(tmp_path: Path) -> None:
    weights = open_checkpoint(write(tmp_path, TINY)).weights
    for name, tensor in tensors(TINY).items():
        np.testing.assert_array_equal(weights(name.removeprefix("model.")), tensor)


def test_jinas_tensors_come_out_under_the_plain_names(tmp_path: Path) -> None:
    made = as_jina(bert.tensors(TINY_XLMR))
    half = {name: tensor.astype(np.float16) for name, tensor in made.items()}
    assert "roberta.encoder.layers.1.mixer.Wqkv.weight" in made
    assert "roberta.emb_ln.bias" in made
    assert not any("LayerNorm" in name or "self" in name for name in made)
    whole = open_checkpoint(write_jina(tmp_path / "whole")).weights
    halved = open_checkpoint(write_jina(tmp_path / "half", half)).weights  # pyright: ignore[reportArgumentType]
    for name, tensor in bert.tensors(TINY_XLMR).items():
        plain = name.removeprefix("roberta.")
        np.testing.assert_array_equal(whole(plain), tensor)
        np.testing.assert_array_equal(halved(plain), tensor.astype(np.float16))


FUSED = "roberta.encoder.layers.0.mixer.Wqkv.weight"
SPLIT = "roberta.encoder.layer.0.attention.self.key.weight"


@pytest.mark.parametrize(
    ("extra", "says"),
    [
        ({"roberta.encoder.layers.0.mixer.dwconv_qkv.weight": (96, 1, 3)}, "unused 1"),
        ({"roberta.encoder.layers.2.norm1.weight": (32,)}, "unused 1"),
        ({"roberta.encoder.layers.0.mixer.Wqkv.parametrizations.weight.0.lora_A": (4, 32)}, "lora"),
        ({SPLIT: (32, 32)}, "twice"),
        ({FUSED: (97, 16)}, "shape"),
        ({FUSED: ()}, "shape"),
        ({FUSED: (2,)}, "shape"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_other_names_and_shapes_than_jinas_are_refused(
    extra: dict[str, tuple[int, ...]], says: str, tmp_path: Path
) -> None:
    made: Tensors = as_jina(bert.tensors(TINY_XLMR))
    made |= {name: np.zeros(shape, dtype=np.float32) for name, shape in extra.items()}
    with pytest.raises(StartError, match=says):
        open_checkpoint(write_jina(tmp_path, made))


@pytest.mark.parametrize("name", [JINA, "jina-reranker-v2-base-multilingual"])
def test_the_catalog_knows_jinas_rule_and_window(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cached(_: str) -> Path:
        return tmp_path

    monkeypatch.setattr(hub, "cached_folder", cached)
    spec = resolve(name)
    assert (spec.name, spec.chunk_rule, spec.options.window_tokens) == (JINA, "jina", 1024)
    assert resolve("BAAI/bge-reranker-base").chunk_rule == "bce"
