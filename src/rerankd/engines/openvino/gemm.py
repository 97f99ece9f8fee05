"""What this machine's matrix units reach in fp32: the yardstick for an engine's speed."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import numpy as np

from rerankd.engines.openvino.compilation import compile_graph
from rerankd.engines.openvino.runtime import ops, ov

ROWS: Final = 1024  # as many as a micro-batch has tokens
SIZES: Final = (384, 768, 1536)  # square weights; the best of them counts
CHAIN: Final = 8  # products in a row, so that the call itself costs nothing


class GemmPeak:
    """fp32 GFLOP/s of plain matrix products, by OpenVINO (one thread per core) and by numpy."""

    def __init__(self, threads: int) -> None:
        """Compile the products.

        Args:
            threads: cores that the engines may use.
        """
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="gemm")
        self._graphs = {size: self._compile(size) for size in SIZES}
        rng = np.random.default_rng(0)
        self._square = rng.standard_normal((2048, 2048), dtype=np.float32)

    def measure(self, seconds: float = 0.3) -> float:
        """The best of all ways, each run for about so many seconds; GFLOP/s of all threads."""
        return max(*(self._openvino(size, seconds) for size in SIZES), self._numpy(seconds))

    def close(self) -> None:
        """Free the graphs."""
        self._pool.shutdown()
        self._graphs = {}

    def _compile(self, size: int) -> list[Any]:
        """One infer request per thread."""
        weight = np.eye(size, dtype=np.float32) * np.float32(0.5)  # stays finite down the chain
        x = first = ops.parameter([ROWS, size], dtype=np.float32)
        for _ in range(CHAIN):
            # a copy each: equal constants could be merged and stay in a nearer cache
            x = ops.matmul(x, ops.constant(weight.copy()), False, False)
        model = ov.Model([ops.result(x)], [first], "gemm")
        compiled = compile_graph(
            model, streams=self._threads, threads=self._threads, precision="fp32"
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

    def _numpy(self, seconds: float) -> float:
        calls, started = 0, time.perf_counter()
        while True:
            np.matmul(self._square, self._square)
            calls += 1
            took = time.perf_counter() - started
            if took >= seconds:
                return 2e-9 * calls * float(self._square.shape[0]) ** 3 / took
