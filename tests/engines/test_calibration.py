"""Factors of channels: powers of two, shared by what is multiplied alike, better than none."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from rerankd.engines.encoder import FloatWeights, Weights
from rerankd.engines.openvino.blocks import linear, linear_part
from rerankd.engines.openvino.calibration import channel_factors, factors_of
from rerankd.engines.openvino.compilation import compile_graph
from rerankd.engines.openvino.int8 import Int8Weights
from rerankd.engines.openvino.runtime import Model, ops, ov
from rerankd.engines.pack import pack_rows

Floats = npt.NDArray[np.float32]
INPUTS, OUTPUTS, VOCAB = 64, 32, 500
LOUD = 7


def tensors() -> FloatWeights:
    rng = np.random.default_rng(3)
    held = {
        "table": rng.normal(size=(VOCAB, INPUTS)).astype(np.float32),
        "layers.a.weight": rng.normal(size=(OUTPUTS, INPUTS)).astype(np.float32),
        "layers.b.weight": rng.normal(size=(OUTPUTS, INPUTS)).astype(np.float32),
        "head.weight": rng.normal(size=(OUTPUTS, INPUTS)).astype(np.float32),
    }
    held["table"][:, LOUD] *= 40

    def tensor(name: str) -> Floats:
        return held[name]

    return tensor


def build(weights: Weights) -> Model:
    """A table and three products of its rows, of the second one only some outputs."""
    table = weights("table")
    assert isinstance(table, np.ndarray)
    ids = ops.parameter(ov.PartialShape([-1]), ov.Type.i32, name="ids")
    x = ops.gather(ops.constant(table), ids, ops.constant(np.int32(0)))
    made = [
        linear(x, weights, "layers.a", bias=False),
        linear_part(x, weights, "layers.b", 4, 20, bias=False),
        linear(x, weights, "head", bias=False),
    ]
    return ov.Model([ops.result(ops.concat(made, 1))], [ids], "products")


def outputs(weights: Weights, *, is_int8: bool) -> Floats:
    precision = "int8" if is_int8 else "fp32"
    compiled = compile_graph(build(weights), streams=1, threads=1, precision=precision)
    request = compiled.create_infer_request()
    request.infer({"ids": np.arange(40, dtype=np.int32)})
    return request.get_output_tensor(0).data.copy()


def factors() -> Mapping[str, Floats]:
    return channel_factors(
        build,
        lambda rows: {"ids": pack_rows(rows)["ids"]},
        tensors(),
        ("layers.",),
        vocab=VOCAB,
        longest=100,
    )


def test_a_loud_channel_costs_little_with_factors() -> None:
    exact = outputs(tensors(), is_int8=False)
    plain = outputs(Int8Weights(tensors(), ("layers.",)), is_int8=True)
    found = outputs(Int8Weights(tensors(), ("layers.",), factors()), is_int8=True)
    off, off_plain = (np.abs(each - exact)[:, :48].std() for each in (found, plain))
    assert 0 < off < off_plain / 2
    np.testing.assert_array_equal(found[:, 48:], exact[:, 48:])  # the head is no int8


def test_products_of_one_input_share_factors_and_the_loud_one_is_turned_down() -> None:
    made = factors()
    assert set(made) == {"layers.a.weight", "layers.b.weight"}
    np.testing.assert_array_equal(made["layers.a.weight"], made["layers.b.weight"])
    assert made["layers.a.weight"].argmin() == LOUD
    np.testing.assert_array_equal(made["layers.a.weight"], factors()["layers.a.weight"])


def test_factors_are_powers_of_two_whatever_is_silent() -> None:
    channels = np.array([0, 1e-9, 1, 3, 1e4], np.float32)
    for columns in (channels[::-1], np.zeros(5, np.float32), np.ones(5, np.float32)):
        made = factors_of(channels, columns)
        assert np.isfinite(made).all()
        assert (np.frexp(made)[0] == 0.5).all()
