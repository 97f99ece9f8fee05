"""Products are right whatever the CPU has: int8 and bf16 are used where they were seen to work."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from rerankd.core.errors import StartError
from rerankd.core.options import Precision
from rerankd.engines.encoder import Int8Rows
from rerankd.engines.openvino import compilation
from rerankd.engines.openvino.arithmetic import bf16_is_right, int8_is_exact
from rerankd.engines.openvino.blocks import product
from rerankd.engines.openvino.compilation import compile_graph
from rerankd.engines.openvino.int8 import quantize
from rerankd.engines.openvino.runtime import Model, ops, ov

Floats = npt.NDArray[np.float32]
# oneDNN's own switch: what a CPU without VNNI does. Elsewhere than on x86 it changes nothing.
OLDER = ("ALL", "AVX2", "AVX512_CORE")


def graph(matrix: Int8Rows | Floats, inputs: int) -> Model:
    """x W^T of one matrix."""
    x = ops.parameter(ov.PartialShape([-1, inputs]), ov.Type.f32)
    return ov.Model([ops.result(product(x, matrix))], [x], "product")


def run(model: Model, x: Floats, precision: Precision) -> Floats:
    """What the graph makes of x."""
    compiled: Any = compile_graph(model, streams=1, threads=1, precision=precision)
    request = compiled.create_infer_request()
    request.infer([x])
    return request.get_output_tensor(0).data.copy()


def case() -> tuple[Floats, Floats]:
    """Tokens (9, 96) and a matrix (40, 96); some rows of both are as loud as they can be."""
    rng = np.random.default_rng(3)
    x = rng.standard_normal((9, 96), dtype=np.float32)
    matrix = rng.standard_normal((40, 96), dtype=np.float32)
    x[0], matrix[0], matrix[1] = 1, 1, -1
    x[1] = 0  # a token of nothing
    x[2] *= np.float32(1e-6)
    return x, matrix


def relative_error(found: npt.NDArray[Any], expected: npt.NDArray[Any]) -> float:
    """The largest difference, of each row's largest value."""
    largest = np.abs(expected).max(axis=1, keepdims=True)
    return float((np.abs(found - expected) / np.maximum(largest, 1e-12)).max())


def test_a_product_is_of_the_rounded_values_exactly() -> None:
    x, matrix = case()
    rows = quantize(matrix)
    made = run(graph(rows, 96), x, "int8").astype(np.float64)
    expected = x.astype(np.float64)
    if int8_is_exact():
        top = np.maximum(np.abs(x).max(axis=1, keepdims=True), np.float32(1e-20))
        expected = np.rint(x / top * np.float32(127)).astype(np.float64) * top / 127
    expected = expected @ (rows.values * rows.scales[:, None].astype(np.float64)).T
    assert relative_error(made, expected) < 1e-5
    assert not made[1].any()


def test_a_token_is_rounded_by_itself() -> None:
    x, matrix = case()
    model = graph(quantize(matrix), 96)
    together = run(model, x, "int8")
    for i in range(len(x)):
        np.testing.assert_array_equal(run(model, x[i : i + 1], "int8")[0], together[i])


def measured() -> dict[str, Any]:
    """What this process finds of the CPU, and how far off its int8 and bf16 products are."""
    x, matrix = case()
    expected = x @ matrix.T
    int8 = run(graph(quantize(matrix), 96), x, "int8")
    found = {"int8": int8_is_exact(), "int8 off": relative_error(int8, expected)}
    found["bf16"] = bf16_is_right()
    if found["bf16"]:
        bf16 = run(graph(matrix, 96), x, "bf16")
        found["bf16 off"] = relative_error(bf16, expected)
    return found


@pytest.mark.parametrize("isa", OLDER)
def test_products_are_right_on_a_cpu_without_them(isa: str) -> None:
    code = "import json; from tests.engines import test_openvino_arithmetic as t"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}; print(json.dumps(t.measured()))"],
        env={**os.environ, "ONEDNN_MAX_CPU_ISA": isa},
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout)
    assert found["int8 off"] < 0.02, found
    assert found.get("bf16 off", 0) < 0.02, found


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_what_the_cpu_cannot_do_is_refused(
    precision: Precision, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compilation, "bf16_is_right", lambda: False)
    _, matrix = case()
    with pytest.raises(StartError, match=rf'"{precision}" cannot run on this CPU.*in fp32'):
        run(graph(matrix, 96), np.ones((1, 96), np.float32), precision)
