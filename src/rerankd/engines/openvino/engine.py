"""`OpenVinoEngine`: one cross-encoder on the CPU, several one-thread streams.

fp32, or int8 where the operator asks for it. Nothing lowers precision silently: the hint is f32 and
is read back after compilation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from functools import partial
from queue import SimpleQueue
from typing import Any, Final

import numpy as np

from rerankd.core.batch import plan_batches
from rerankd.core.errors import EngineFailed, StartError
from rerankd.core.options import Quantization
from rerankd.core.rows import Logits, Row
from rerankd.engines.any_encoder import AnyEncoder
from rerankd.engines.base import EngineInfo
from rerankd.engines.bidirectional_config import BidirectionalConfig
from rerankd.engines.cores import usable_cores
from rerankd.engines.encoder import Architecture, EncoderConfig, FloatWeights, Weights
from rerankd.engines.openvino import (
    bert,
    bidirectional,
    deberta,
    deberta_pack,
    distilbert,
    electra,
    gte,
    jina_bert,
    modernbert,
    modernbert_pack,
    xlm_roberta,
)
from rerankd.engines.openvino.int8 import Int8Weights, group_size
from rerankd.engines.openvino.runtime import Model, ov
from rerankd.engines.pack import pack, pack_typed

# Padded tokens that one stream runs at once. 512 to 2048 measure equal, 4096 is a third slower.
MICRO_BATCH_TOKENS: Final = 1024
# Below this, a smaller micro-batch costs more in overhead than an idle stream does.
MIN_MICRO_BATCH_TOKENS: Final = 128
MAX_ROWS: Final = 64
# Every new shape of a batch leaves kernels in a cache of 5000: hundreds of MB in the end.
KERNELS: Final = 256

_BUILDERS: dict[Architecture, Callable[[EncoderConfig, Weights], Model]] = {
    "bert": bert.build,
    "xlm-roberta": xlm_roberta.build,
    "electra": electra.build,
    "distilbert": distilbert.build,
}


class OpenVinoEngine:
    """Ids in, logits out; see engines.base.Engine."""

    def __init__(
        self,
        config: AnyEncoder | BidirectionalConfig,
        weights: FloatWeights,
        *,
        streams: int | None = None,
        quantization: Quantization | None = None,
    ) -> None:
        """Build the graph and compile it.

        Args:
            config: sizes of the model.
            weights: its tensors; read once, and not kept.
            streams: micro-batches that run at once, one thread each; None = all usable cores.
            quantization: "int8" of the layers' matrices and of what they multiply (int8.py).

        Raises:
            StartError: OpenVINO cannot compile the graph here, or cannot run it in int8.
        """
        self._config = config
        self._streams = streams or usable_cores()
        self._pack: Callable[[Sequence[Row]], dict[str, Any]]
        group = 0
        if quantization is not None and not isinstance(config, EncoderConfig):
            raise StartError(
                f'quantization = "{quantization}" is available for BERT and XLM-R, not for '
                f"{config.architecture}, where a score would depend on the rest of its batch. "
                "Leave it unset to run the model in fp32."
            )
        if config.architecture == "modernbert":
            graph = modernbert.build(config, weights)
            self._pack = partial(modernbert_pack.pack, config=config)
        elif config.architecture == "deberta-v2":
            graph = deberta.build(config, weights)
            self._pack = partial(deberta_pack.pack, config=config)
        elif config.architecture == "llama-bidirectional":
            graph = bidirectional.build(config, weights)
            self._pack = pack_typed
        elif config.architecture == "gte":
            graph = gte.build(config, weights)
            self._pack = pack_typed
        elif config.architecture == "jina-bert":
            graph = jina_bert.build(config, weights)
            self._pack = pack_typed
        else:
            held: Weights = weights
            if quantization is not None:
                held, group = Int8Weights(weights), group_size(config)
            graph = _BUILDERS[config.architecture](config, held)
            self._pack = partial(pack, config=config)
        self._compiled: Any = compile_graph(
            graph, streams=self._streams, threads=self._streams, quantization_group=group
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
            precision=quantization or "fp32",
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
        share = -(-sum(lengths) // self._streams)
        budget = min(MICRO_BATCH_TOKENS, max(MIN_MICRO_BATCH_TOKENS, share))
        return plan_batches(lengths, max_tokens=budget, max_rows=MAX_ROWS)

    def close(self) -> None:
        """Drop the compiled graph and its weights."""
        self._pool.shutdown()
        self._idle = SimpleQueue()
        self._compiled = None


def compile_fp32(model: Model, *, streams: int, threads: int) -> Any:
    """As compile_graph(), with nothing quantised."""
    return compile_graph(model, streams=streams, threads=threads, quantization_group=0)


def compile_graph(
    model: Model,
    *,
    streams: int,
    threads: int,
    quantization_group: int,
    kernels: int = KERNELS,
) -> Any:
    """The graph compiled for `streams` calls at once that share `threads`.

    Args:
        model: the graph.
        streams: calls at once.
        threads: of all streams together.
        quantization_group: activations that share a scale where a matrix is int8 (int8.py); 0 =
            they stay fp32, as everything else does in any case.
        kernels: how many it keeps for shapes that come again.

    Raises:
        StartError: OpenVINO cannot do that here.
    """
    options: dict[str, Any] = {
        "NUM_STREAMS": streams,
        "INFERENCE_NUM_THREADS": threads,
        "PERFORMANCE_HINT": "THROUGHPUT",
        "INFERENCE_PRECISION_HINT": "f32",
        "EXECUTION_MODE_HINT": "ACCURACY",
        "DYNAMIC_QUANTIZATION_GROUP_SIZE": quantization_group,
        "CPU_RUNTIME_CACHE_CAPACITY": kernels,
        # several engine processes on one machine must not pin their threads to the same cores
        "ENABLE_CPU_PINNING": False,
    }
    try:
        compiled = ov.Core().compile_model(model, "CPU", options)
    except RuntimeError as error:
        raise StartError(f"OpenVINO could not compile the model for this CPU: {error}") from error
    precision = str(compiled.get_property("INFERENCE_PRECISION_HINT").to_string())
    if precision != "f32":
        raise StartError(f"OpenVINO would run the model in {precision} instead of fp32 here.")
    group = int(compiled.get_property("DYNAMIC_QUANTIZATION_GROUP_SIZE"))
    if group != quantization_group:
        raise StartError(
            f"OpenVINO would quantise activations by groups of {group} instead of "
            f"{quantization_group} here."
        )
    return compiled
