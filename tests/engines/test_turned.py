"""A turned decoder is the same function; in bf16 and int8 it agrees, alone and in company."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from rerankd.core.options import Precision
from rerankd.core.rows import Row
from rerankd.engines.decoder import DecoderConfig, answer_row, folded, tensor_shapes
from rerankd.engines.encoder import TableWeights
from rerankd.engines.mapped_arrays import MappedArrays
from rerankd.engines.openvino import decoder_engine, qwen
from rerankd.engines.openvino.decoder_engine import DecoderEngine
from rerankd.engines.openvino.int8 import Int8Weights
from rerankd.engines.openvino.runtime import Model
from rerankd.engines.turned import TurnedWeights, blockwise, inner_block, orthogonal, turn, turned
from rerankd.models.decoder_checkpoint import open_decoder
from tests.checkpoints.decoder import GOLDEN_SHAPES, write

Floats = npt.NDArray[np.float32]
YES, NO = 10, 11


def shape(architecture: str, **more: int) -> DecoderConfig:
    """Small, with every tensor that the architecture can have."""
    sizes = {"hidden": 96, "heads": 4, "kv_heads": 2, "head_dim": 24, "intermediate": 160}
    return DecoderConfig(
        architecture=architecture,  # pyright: ignore[reportArgumentType]
        layers=3,
        vocab=500,
        max_length=512,
        rms_norm_eps=1e-6,
        rope_theta=1e4,
        attention_bias=architecture in ("qwen2", "qwen3"),
        output_bias=architecture == "qwen3",
        tied=False,
        **(sizes | more),
    )


class Made:
    """Seeded tensors; `loud` channels of the residual stream are 30 times as large."""

    def __init__(self, config: DecoderConfig, loud: int = 0) -> None:
        rng = np.random.default_rng(3)
        gain = np.ones(config.hidden, np.float32)
        gain[rng.choice(config.hidden, loud, replace=False)] = 30
        self._tensors: dict[str, Floats] = {}
        for name, size in tensor_shapes(config).items():
            made = rng.standard_normal(size, dtype=np.float32) * np.float32(size[-1] ** -0.5)
            if name == "embed_tokens.weight":
                made *= gain * np.float32(config.hidden**0.5)
            elif name.endswith(("o_proj.weight", "down_proj.weight")):
                made *= gain[:, None]
            elif name.endswith(("gate_proj.weight", "up_proj.weight")) and loud:
                made[:2] *= 5
            elif name.endswith("norm.weight") and config.architecture != "gemma":
                made += 1
            self._tensors[name] = made

    def __call__(self, name: str) -> Floats:
        return self._tensors[name]

    def rows(self, name: str, ids: npt.NDArray[np.int32]) -> Floats:
        return self._tensors[name][ids]


def some_rows(count: int = 24) -> list[Row]:
    """Of 8 to 40 tokens, half of them behind the same 8."""
    rng = np.random.default_rng(4)
    start = rng.integers(0, 500, 8)
    made = [rng.integers(0, 500, rng.integers(8, 33)) for _ in range(count)]
    ids = [np.concatenate([start, own]) if i % 2 else own for i, own in enumerate(made)]
    return [Row(each.astype(np.int32), each.size) for each in ids]


def engine(config: DecoderConfig, weights: TableWeights, precision: Precision) -> DecoderEngine:
    return DecoderEngine(config, weights, yes=YES, no=NO, precision=precision, cache_bytes=0)


@pytest.mark.parametrize("size", [1, 2, 12, 60, 64, 128, 896])
def test_a_turn_is_orthogonal_and_its_entries_are_of_one_size(size: int) -> None:
    made = turn(size)
    np.testing.assert_allclose(made @ made.T, np.eye(size), rtol=0, atol=1e-5)
    assert np.abs(made).max() <= (2 / size) ** 0.5 + 1e-6 or size == 1
    x = np.random.default_rng(1).standard_normal((5, size)).astype(np.float32)
    np.testing.assert_allclose(turned(x), x @ made, rtol=0, atol=1e-5)
    np.testing.assert_allclose(orthogonal(size) @ orthogonal(size).T, np.eye(size), atol=1e-12)


def test_blocks_are_turned_apart() -> None:
    x = np.random.default_rng(1).standard_normal((3, 24)).astype(np.float32)
    np.testing.assert_allclose(blockwise(x, 8)[:, 8:16], turned(x[:, 8:16]), rtol=0, atol=1e-6)
    assert inner_block(shape("qwen3", intermediate=3072)) == 128
    assert inner_block(shape("qwen3", intermediate=4864)) == 128
    assert inner_block(shape("qwen3", intermediate=99)) == 1


@pytest.mark.parametrize("intermediate", [160, 99])
@pytest.mark.parametrize("architecture", ["qwen3", "qwen2", "mistral", "gemma", "llama"])
def test_a_turned_decoder_is_the_same_function(
    architecture: str, intermediate: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = shape(architecture, intermediate=intermediate)
    weights = Made(config)
    wanted = engine(config, weights, "fp32").forward(some_rows())

    def unrounded(
        source: TurnedWeights, prefixes: tuple[str, ...], arrays: MappedArrays
    ) -> TurnedWeights:
        assert isinstance(arrays, MappedArrays)
        assert prefixes == ("layers.",)
        return source

    monkeypatch.setattr(decoder_engine, "Int8Weights", unrounded)
    found = engine(config, weights, "int8").forward(some_rows())
    assert wanted.std() > 0.5
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-4)


def test_the_turned_head_reads_the_turned_stream() -> None:
    config = shape("gemma")
    weights = Made(config)
    made = TurnedWeights(config, folded(config, weights))
    row = answer_row(config, weights, yes=YES, no=None)
    x = np.random.default_rng(1).standard_normal((4, config.hidden)).astype(np.float32)
    norm = weights("norm.weight") + 1
    np.testing.assert_allclose(turned(x) @ made.head(row).T, (x * norm) @ row.T, atol=1e-4)


def test_loud_channels_cost_int8_little(monkeypatch: pytest.MonkeyPatch) -> None:
    config = shape("qwen3", hidden=256, heads=8, head_dim=32, intermediate=512)
    weights, rows = Made(config, loud=3), some_rows(64)
    wanted = engine(config, weights, "fp32").forward(rows)
    turned_errors = np.abs(engine(config, weights, "int8").forward(rows) - wanted)
    build = qwen.build

    def unturned(*_args: object, is_turned: bool) -> Model:
        assert is_turned
        head = answer_row(config, weights, yes=YES, no=NO)
        return build(config, Int8Weights(weights, ("layers.",)), head)

    monkeypatch.setattr(qwen, "build", unturned)
    errors = np.abs(engine(config, weights, "int8").forward(rows) - wanted)
    assert np.median(turned_errors) < 0.02 * wanted.std()
    assert np.median(turned_errors) < 0.5 * np.median(errors)


@pytest.mark.parametrize("precision", ["bf16", "int8"])
@pytest.mark.parametrize("name", list(GOLDEN_SHAPES))
def test_a_row_scores_the_same_in_any_company(
    name: str, precision: Precision, tmp_path: Path
) -> None:
    checkpoint = open_decoder(write(tmp_path, GOLDEN_SHAPES[name]))
    made = engine(checkpoint.config, checkpoint.weights, precision)
    plain = engine(checkpoint.config, checkpoint.weights, "fp32")
    rows = some_rows()
    together = made.forward(rows)
    backwards = made.forward(rows[::-1])[::-1]
    alone = np.concatenate([made.forward([row]) for row in rows])
    np.testing.assert_allclose(backwards, together, rtol=0, atol=1e-5)
    np.testing.assert_allclose(alone, together, rtol=0, atol=1e-5)
    assert made.info.precision == precision
    difference = np.abs(together - plain.forward(rows))
    assert 0 < difference.max() < 0.15 * together.std() * (1 if precision == "bf16" else 2)
