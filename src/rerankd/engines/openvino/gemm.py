"""What this machine's matrix units reach in a precision: the yardstick for an engine's speed."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import numpy as np

from rerankd.core.errors import StartError
from rerankd.core.options import Precision
from rerankd.engines.openvino.arithmetic import int8_is_exact, rounded
from rerankd.engines.openvino.compilation import compile_graph
from rerankd.engines.openvino.runtime import Model, Node, ops, ov

ROWS: Final = 1024  # as many as a micro-batch has tokens
SIZES: Final = (384, 768, 1536)  # square weights; the best of them counts
CHAIN: Final = 8  # products in a row, so that the call itself costs nothing
_SQUARE: Final = 2048  # of numpy's product


class GemmPeak:
    """GFLOP/s of plain matrix products, by OpenVINO (one thread per core) and in fp32 by numpy.

    In int8 (GOP/s) what is between two products stays int8: no rounding is paid for.
    """

    def __init__(self, threads: int, precision: Precision = "fp32") -> None:
        """Compile the products.

        Args:
            threads: cores that the engines may use.
            precision: of the products.

        Raises:
            StartError: this processor does not have the precision, or not exactly.
        """
        if precision == "int8" and not int8_is_exact():
            raise StartError("this CPU has no exact int8 products.")
        self._threads = threads
        self._precision: Precision = precision
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="gemm")
        self._graphs = {size: self._compile(size) for size in SIZES}

    def measure(self, seconds: float = 0.3) -> float:
        """The best of all ways, each run for about so many seconds; GFLOP/s of all threads."""
        peak = max(self._openvino(size, seconds) for size in SIZES)
        return max(peak, numpy_gflops(seconds)) if self._precision == "fp32" else peak

    def close(self) -> None:
        """Free the graphs."""
        self._pool.shutdown()
        self._graphs = {}

    def _compile(self, size: int) -> list[Any]:
        """One infer request per thread."""
        compiled = compile_graph(
            chain(size, self._precision),
            streams=self._threads,
            threads=self._threads,
            precision=self._precision,
        )
        requests = [compiled.create_infer_request() for _ in range(self._threads)]
        x = np.ones((ROWS, size), np.float32)
        for request in requests:
            request.set_input_tensor(ov.Tensor(x.copy()))
            request.infer()  # the first call builds kernels
        return requests

    def _openvino(self, size: int, seconds: float) -> float:
        ends = time.perf_counter() + seconds

        def run(request: Any) -> float:
            """GFLOP/s of one thread."""
            calls, started = 0, time.perf_counter()
            while True:
                request.infer()
                calls += 1
                now = time.perf_counter()
                if now >= ends:
                    return 2e-9 * calls * CHAIN * ROWS * size * size / (now - started)

        return sum(self._pool.map(run, self._graphs[size]))


def numpy_gflops(seconds: float) -> float:
    """fp32 GFLOP/s of numpy's matrix product, run for about so many seconds on all threads."""
    square = np.random.default_rng(0).standard_normal((_SQUARE, _SQUARE), dtype=np.float32)
    calls, started = 0, time.perf_counter()
    while True:
        np.matmul(square, square)
        calls += 1
        took = time.perf_counter() - started
        if took >= seconds:
            return 2e-9 * calls * _SQUARE**3 / took


def chain(size: int, precision: Precision) -> Model:
    """Products (ROWS, size) x (size, size) in a row: each halves what it gets."""
    x = first = ops.parameter([ROWS, size], dtype=np.float32)
    for _ in range(CHAIN):
        x = _int8_product(x, size) if precision == "int8" else _product(x, size)
    return ov.Model([ops.result(x)], [first], "gemm")


def _product(x: Node, size: int) -> Node:
    """x times half the identity, which stays finite down the chain.

    A constant of its own each: equal ones could be merged and stay in a nearer cache.
    """
    weight = np.eye(size, dtype=np.float32) * np.float32(0.5)
    return ops.matmul(x, ops.constant(weight), False, False)


def _int8_product(x: Node, size: int) -> Node:
    """The same with x rounded to 255 levels in [-1, 1]: the product before it writes int8."""
    weight = ops.convert(ops.constant(np.eye(size, dtype=np.int8) * np.int8(127)), "f32")
    scale = ops.constant(np.full((size, 1), 0.5 / 127, dtype=np.float32))
    return ops.matmul(rounded(x), ops.multiply(weight, scale), False, True)
