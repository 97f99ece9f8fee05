"""The yardstick multiplies in the precision that it says, and counts what it did."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rerankd.core.errors import StartError
from rerankd.core.options import Precision
from rerankd.engines.openvino.compilation import compile_graph
from rerankd.engines.openvino.gemm import CHAIN, ROWS, SIZES, GemmPeak, chain, numpy_gflops

SIZE = 64


def compiled(precision: Precision) -> Any:
    return compile_graph(chain(SIZE, precision), streams=1, threads=1, precision=precision)


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_every_product_of_the_chain_is_computed(precision: Precision) -> None:
    """Each halves its input; int8 rounds to 1/127 before it does."""
    request = compiled(precision).create_infer_request()
    request.infer([np.ones((ROWS, SIZE), np.float32)])
    made = request.get_output_tensor(0).data
    allowed = 0.0 if precision == "fp32" else 1 / 127
    assert np.abs(made - 0.5**CHAIN).max() <= allowed


def test_nothing_but_int8_lies_between_int8_products() -> None:
    """Else the peak would pay for rounding, and an engine could seem to pass it."""
    nodes = [node.get_rt_info() for node in compiled("int8").get_runtime_model().get_ordered_ops()]
    products = [node for node in nodes if node["layerType"].astype(str) == "FullyConnected"]
    assert len(products) == CHAIN
    assert {node["runtimePrecision"].astype(str) for node in products} == {"i8"}
    assert [node["outputPrecisions"].astype(str) for node in products][:-1] == ["i8"] * (CHAIN - 1)


@pytest.mark.parametrize(("precision", "best"), [("fp32", 40.0), ("int8", 30.0)])
def test_the_peak_is_the_best_way_and_numpys_is_one_in_fp32(
    precision: Precision, best: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    reached: dict[int, float] = dict(zip(SIZES, (10.0, 30.0, 20.0), strict=True))

    def openvino(_: GemmPeak, size: int, __: float) -> float:
        return reached[size]

    def numpy(_: float) -> float:
        return 40.0

    monkeypatch.setattr(GemmPeak, "_openvino", openvino)
    monkeypatch.setattr("rerankd.engines.openvino.gemm.numpy_gflops", numpy)
    peak = GemmPeak(1, precision)
    assert peak.measure() == best
    peak.close()


def test_products_are_counted() -> None:
    peak = GemmPeak(1)
    assert peak.measure(0.01) > 0.0
    assert numpy_gflops(0.0) > 0.0
    peak.close()


def test_int8_that_is_not_exact_is_no_yardstick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without VNNI sums overflow, and engines multiply otherwise."""
    monkeypatch.setattr("rerankd.engines.openvino.gemm.int8_is_exact", lambda: False)
    with pytest.raises(StartError, match="int8"):
        GemmPeak(1, "int8")


def test_a_precision_that_is_not_there_is_refused() -> None:
    with pytest.raises(StartError, match="fp16"):
        GemmPeak(1, "fp16")
