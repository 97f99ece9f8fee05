"""`OpenVinoEngine`: one cross-encoder on the CPU, several one-thread streams.

fp32, or what the operator asks for. Nothing lowers precision silently (compilation.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from queue import SimpleQueue
from typing import Any, Final

import numpy as np

from rerankd.core.batch import plan_for_streams
from rerankd.core.errors import EngineFailed
from rerankd.core.options import Precision
from rerankd.core.rows import Logits, Row
from rerankd.engines.base import EngineInfo
from rerankd.engines.cores import usable_cores
from rerankd.engines.encoder import EncoderConfig, FloatWeights, Weights
from rerankd.engines.openvino import families
from rerankd.engines.openvino.blocks import keep_residual
from rerankd.engines.openvino.calibration import channel_factors
from rerankd.engines.openvino.compilation import compile_graph
from rerankd.engines.openvino.int8 import Int8Weights

# Padded tokens that one stream runs at once. 512 to 2048 measure equal, 4096 is a third slower.
MICRO_BATCH_TOKENS: Final = 1024
# Below this, a smaller micro-batch costs more in overhead than an idle stream does.
MIN_MICRO_BATCH_TOKENS: Final = 128
MAX_ROWS: Final = 64


class OpenVinoEngine:
    """Ids in, logits out; see engines.base.Engine."""

    def __init__(
        self,
        config: families.Config,
        weights: FloatWeights,
        *,
        streams: int | None = None,
        precision: Precision = "fp32",
    ) -> None:
        """Build the graph and compile it.

        Args:
            config: sizes of the model.
            weights: its tensors; read once, and not kept.
            streams: micro-batches that run at once, one thread each; None = all usable cores.
            precision: "int8" is of the layers' matrices and of what they multiply (int8.py); the
                rest of BERT and its kin is bf16 then where the CPU has it.

        Raises:
            StartError: OpenVINO cannot compile the graph here, or cannot run it in `precision`.
        """
        self._config = config
        self._streams = streams or usable_cores()
        self._pack = families.packer(config)
        held: Weights = weights
        if precision == "int8":
            factors = channel_factors(
                lambda watched: families.build(config, watched, weights),
                self._pack,
                weights,
                families.LAYERS,
                vocab=families.vocabulary(config),
                longest=config.max_length,
            )
            held = Int8Weights(weights, families.LAYERS, factors)
        graph = families.build(config, held, weights)
        is_bert = isinstance(config, EncoderConfig)
        if is_bert and precision == "bf16":
            keep_residual(graph)
        self._compiled: Any = compile_graph(
            graph,
            streams=self._streams,
            threads=self._streams,
            precision=precision,
            between="bf16" if is_bert else "fp32",
        )
        # Threads that block in infer(), not AsyncInferQueue: its callbacks need the GIL; a queue
        # that is dropped with work in flight waits for them while holding it (2026.4.1).
        self._idle: SimpleQueue[Any] = SimpleQueue()
        for _ in range(self._streams):
            self._idle.put(self._compiled.create_infer_request())
        self._pool = ThreadPoolExecutor(self._streams, thread_name_prefix="openvino")
        self._info = EngineInfo(
            name="openvino",
            device="cpu",
            precision=precision,
            max_length=config.max_length,
            batch_tokens=MICRO_BATCH_TOKENS * self._streams * 2,
        )

    @property
    def info(self) -> EngineInfo:
        """Name, device, precision and limits."""
        return self._info

    def forward(self, batch: Sequence[Row]) -> Logits:
        """Logits (B, K) of B rows; see engines.base.Engine.forward.

        Rows of like length run together, as many micro-batches at once as there are streams.
        """
        if self._compiled is None:
            raise EngineFailed("the engine is closed")
        logits = np.empty((len(batch), self._config.labels), dtype=np.float32)
        plan = self._plan([row.tokens for row in batch])
        runs = [self._pool.submit(self._infer, [batch[i] for i in members]) for members in plan]
        wait(runs)  # nothing is in flight any more, whatever happened
        try:
            for members, run in zip(plan, runs, strict=True):
                logits[members] = run.result()
        except Exception as error:
            raise EngineFailed(f"OpenVINO could not run the batch: {error}") from error
        return logits

    def _infer(self, rows: Sequence[Row]) -> Logits:
        """One micro-batch on an idle infer request; there are as many as threads."""
        request = self._idle.get()
        try:
            request.infer(self._pack(rows))
            return request.get_output_tensor(0).data.copy()
        finally:
            self._idle.put(request)

    def _plan(self, lengths: Sequence[int]) -> list[list[int]]:
        """Micro-batches; a small batch is cut finer, so that every stream has work."""
        return plan_for_streams(
            lengths,
            streams=self._streams,
            least=MIN_MICRO_BATCH_TOKENS,
            most=MICRO_BATCH_TOKENS,
            max_rows=MAX_ROWS,
        )

    def close(self) -> None:
        """Drop the compiled graph and its weights."""
        self._pool.shutdown()
        self._idle = SimpleQueue()
        self._compiled = None
