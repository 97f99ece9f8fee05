"""Operations counted from config.json, against formulas and a published size."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rerankd.core.errors import StartError
from rerankd.measure.flops import layer_cost
from tests.checkpoints import bert as checkpoints


def test_minilm_costs_what_its_matrices_say(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(checkpoints.config(checkpoints.MINILM_L6)))
    cost = layer_cost(tmp_path)
    h, i, n = 384, 1536, 100
    one = n * (4 * h * h + 2 * h * i) + 2 * n * n * h
    assert cost.nominal([n, n]) == 2 * 2 * 6 * one
    # the last layer: keys and values of all tokens; query, output, MLP and attention of one
    last = n * 2 * h * h + (2 * h * h + 2 * h * i) + 2 * n * h
    assert cost.needed([n, n]) == 2 * 2 * (5 * one + last)


def test_grouped_heads_and_gated_layers_count(tmp_path: Path) -> None:
    sizes = {
        "model_type": "qwen3",
        "hidden_size": 1024,
        "num_hidden_layers": 28,
        "num_attention_heads": 16,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "intermediate_size": 3072,
    }
    (tmp_path / "config.json").write_text(json.dumps(sizes))
    cost = layer_cost(tmp_path)
    # the 0.6B model has 440 M parameters in its layers, norms aside
    assert cost.layers * cost.token == pytest.approx(440.4e6, rel=0.001)
    assert cost.token_pair == 2 * 2048


def test_a_folder_without_sizes_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(StartError, match="hidden_size"):
        layer_cost(tmp_path)


def test_a_decoder_with_eyes_costs_what_its_decoder_does(tmp_path: Path) -> None:
    inner = {
        "model_type": "qwen3_vl_text",
        "hidden_size": 2048,
        "num_hidden_layers": 28,
        "num_attention_heads": 16,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "intermediate_size": 6144,
    }
    outer = {"model_type": "qwen3_vl", "text_config": inner}
    (tmp_path / "config.json").write_text(json.dumps(outer))
    cost = layer_cost(tmp_path)
    assert cost.layers * cost.token == pytest.approx(1409e6, rel=0.001)
