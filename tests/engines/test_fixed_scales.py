"""Int8 with fixed scales: near fp32 for inputs as they were measured, exact in any company."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest

from rerankd.core.rows import TokenIds
from rerankd.engines.encoder import (
    EncoderConfig,
    InputRanges,
    Int8Rows,
    range_shapes,
    tensor_shapes,
)
from rerankd.engines.openvino import token_encoder
from rerankd.engines.openvino.fixed_scales import FLOAT_INPUTS, Reach, by_range
from rerankd.engines.openvino.int8 import quantize
from rerankd.engines.openvino.token_encoder import PROJECTION, EncodedWindow, TokenEncoder

CONFIG = EncoderConfig(
    architecture="bert",
    hidden=64,
    layers=2,
    heads=2,
    intermediate=256,
    vocab=90,
    positions=64,
    token_types=1,
    layer_norm_eps=1e-5,
    labels=0,
    pad_id=0,
)
Floats = npt.NDArray[np.float32]


def made_weights() -> dict[str, Floats | Int8Rows]:
    """Matrices of layers as int8 rows, some neurons many times as large as the others."""
    draw = np.random.default_rng(4)
    shapes = {**tensor_shapes(CONFIG), PROJECTION: (16, CONFIG.hidden)}
    found: dict[str, Floats | Int8Rows] = {}
    for name, shape in shapes.items():
        tensor = draw.normal(0, 0.2, shape).astype(np.float32)
        if name.endswith("intermediate.dense.weight"):
            tensor[::40] *= 12
        is_matrix = tensor.ndim == 2 and name.startswith("encoder.")
        found[name] = quantize(tensor) if is_matrix else tensor
    return found


WEIGHTS = made_weights()


def as_stored(name: str) -> Floats | Int8Rows:
    return WEIGHTS[name]


def as_floats(name: str) -> Floats:
    """The same weights, nothing of which is int8."""
    tensor = WEIGHTS[name]
    if isinstance(tensor, Int8Rows):
        return tensor.values * tensor.scales[:, None]
    return tensor


def texts(count: int = 24) -> list[TokenIds]:
    draw = np.random.default_rng(5)
    return [draw.integers(1, 90, draw.integers(2, 60)).astype(np.int32) for _ in range(count)]


def ranges(name: str) -> InputRanges:
    """About those of these weights' inputs: normalised, or behind GELU."""
    size = range_shapes(CONFIG)[name]
    if size == CONFIG.hidden:
        far = np.full(size, 1.5 if "output" in name else 1.2, np.float32)
        return InputRanges(-far, far, np.zeros(size, np.float32))
    high = np.full(size, 6.0, np.float32)
    high[::40] *= 12
    return InputRanges(np.full(size, -0.17, np.float32), high, high * np.float32(0.125))


def encoded(
    some: Sequence[TokenIds], *, known: bool = True, floats: bool = False
) -> list[EncodedWindow]:
    made = TokenEncoder(
        CONFIG, as_floats if floats else as_stored, ranges=ranges if known else None, streams=1
    )
    try:
        return made.encode(some)
    finally:
        made.close()


def distance(found: Sequence[EncodedWindow], right: Sequence[EncodedWindow]) -> float:
    """One less the mean cosine of tokens."""
    cosines = [(a.tokens * b.tokens).sum(axis=1) for a, b in zip(found, right, strict=True)]
    return float(1 - np.concatenate(cosines).mean())


def test_vectors_are_near_those_of_fp32() -> None:
    right = encoded(texts(), known=False, floats=True)
    assert distance(encoded(texts()), right) < 0.002


def test_vectors_are_the_same_bit_for_bit_alone_and_in_company() -> None:
    together = encoded(texts())
    for i in (0, 7, 23):
        [alone] = encoded([texts()[i]])
        assert np.array_equal(alone.tokens, together[i].tokens)
        assert np.array_equal(alone.mean, together[i].mean)


def test_a_cpu_that_does_not_sum_int8_exactly_takes_groups_of_a_token(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(token_encoder, "int8_is_exact", lambda: False)
    of_groups = encoded(texts(), known=False)
    found = encoded(texts())
    assert all(np.array_equal(a.tokens, b.tokens) for a, b in zip(found, of_groups, strict=True))


def test_inputs_of_the_largest_ranges_are_kept_apart() -> None:
    high = np.ones(1024, np.float32)
    high[[5, 700]] = 30
    large, others = by_range(InputRanges(np.zeros(1024, np.float32), high, high))
    assert large.size == FLOAT_INPUTS
    assert {5, 700} <= set(large.tolist())
    assert sorted([*large, *others]) == list(range(1024))


@pytest.mark.parametrize(("smoothing", "expected"), [(1.0, [2, 8]), (0.0, [8, 8]), (0.5, [4, 8])])
def test_a_reach_lies_between_an_inputs_own_range_and_the_largest(
    smoothing: float, expected: list[float]
) -> None:
    low, high = np.array([-1, -7], np.float32), np.array([3, 9], np.float32)
    made = Reach.of(InputRanges(low, high, high), smoothing)
    assert made.middle.tolist() == [1, 1]
    assert made.reach.tolist() == pytest.approx(expected)


def test_weights_that_are_not_int8_are_refused() -> None:
    with pytest.raises(TypeError, match="not int8 rows"):
        encoded(texts(1), floats=True)
