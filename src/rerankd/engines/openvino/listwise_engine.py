"""`OpenVinoListwise`: one listwise reranker on the CPU, in fp32, bf16 or int8.

A row is a whole prompt, query and documents together, and runs alone, piece by piece, each behind
the keys and values of those before it. What all prompts begin with runs once.

Memory beside the weights: one call's activations (MICRO_BATCH_TOKENS and ATTENTION_BYTES of
decoder_engine), and the keys and values of each row between two pieces: its tokens times
8 * layers * kv_width bytes (229 KB per token of jina-reranker-v3).
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Final

import numpy as np

from rerankd.core.errors import EngineFailed
from rerankd.core.options import Precision
from rerankd.core.rows import Row, TokenIds, Vectors
from rerankd.engines.base import EngineInfo
from rerankd.engines.cores import usable_cores
from rerankd.engines.decoder import EMBEDDINGS
from rerankd.engines.encoder import TableWeights
from rerankd.engines.freed import give_back
from rerankd.engines.listwise_config import PROJECTOR, ListwiseConfig
from rerankd.engines.mapped_arrays import MappedArrays
from rerankd.engines.openvino import listwise, qwen
from rerankd.engines.openvino.compilation import compile_graph
from rerankd.engines.openvino.decoder_engine import (
    ATTENTION_BYTES,
    GIVE_BACK_TOKENS,
    slice_tokens,
)
from rerankd.engines.openvino.decoder_pack import pack
from rerankd.engines.openvino.int8 import Int8Weights
from rerankd.engines.openvino.runtime import Model, ov
from rerankd.engines.shared_prefix import Floats
from rerankd.engines.turned import TurnedWeights

_NO_IDS: Final = np.empty(0, dtype=np.int32)


class OpenVinoListwise:
    """Ids in, a vector per place that is read out; see engines.base.ListwiseEngine."""

    def __init__(
        self,
        config: ListwiseConfig,
        weights: TableWeights,
        *,
        mark: int,
        start: TokenIds = _NO_IDS,
        piece_tokens: int | None = None,
        precision: Precision = "fp32",
    ) -> None:
        """Build the graph and compile it: one call at a time, on all usable cores.

        Args:
            config: sizes of the model.
            weights: its tensors; read once, but for rows of the embeddings.
            mark: the token id that is read wherever it stands; the last token is read as well.
            start: what prompts begin with, (S,), none of it read, whose keys and values are kept.
            piece_tokens: of a row that run at once; None = as many as take about 0.3 s of a core.
            precision: as DecoderEngine has it; the projector stays as it is.

        Raises:
            StartError: OpenVINO cannot compile the graph in that precision here.
        """
        self._config = config
        self._weights = weights
        self._mark = mark
        self._matrices = MappedArrays()
        self._compiled: Any = compile_graph(
            _graph(config, weights, self._matrices, precision),
            streams=1,
            threads=usable_cores(),
            precision=precision,
        )
        self._request: Any = self._compiled.create_infer_request()
        self._no_past = ov.Tensor(self._room(0))
        self._start = start
        self._started: Floats | None = None  # its keys and values, once they are needed
        self._piece_tokens = piece_tokens or slice_tokens(config.decoder)
        self._info = EngineInfo(
            name="openvino",
            device="cpu",
            precision=precision,
            max_length=config.decoder.max_length,
            batch_tokens=self._piece_tokens,
            slice_tokens=self._piece_tokens,
            slice_bytes=4 * 2 * config.decoder.layers * config.decoder.kv_width,
        )

    @property
    def info(self) -> EngineInfo:
        """Name, device, precision and limits."""
        return self._info

    def vectors(self, row: Row) -> Generator[int, None, Vectors]:
        """Vectors (R, d) of one row, piece by piece; see engines.base.ListwiseEngine."""
        if self._request is None:
            raise EngineFailed("the engine is closed")
        try:
            return (yield from self._steps(row.ids))
        except Exception as error:
            raise EngineFailed(f"OpenVINO could not run the row: {error}") from error
        finally:
            if row.tokens > GIVE_BACK_TOKENS and self._compiled is not None:
                self._compiled.release_memory()
                give_back()

    def close(self) -> None:
        """Drop the compiled graph, its weights and what was kept."""
        self._request = self._compiled = self._started = None

    def _steps(self, ids: TokenIds) -> Generator[int, None, Vectors]:
        """Vectors (R, d) of one row; yields the tokens of each piece."""
        is_read = ids == self._mark
        is_read[-1] = True
        vectors = np.empty((int(is_read.sum()), self._config.dimensions), dtype=np.float32)
        past = self._room(ids.size)
        done = filled = counted = 0
        if 0 < self._start.size < ids.size and np.array_equal(ids[: self._start.size], self._start):
            done = self._start.size
            past[:done] = self._start_past()
        while True:
            piece = ids[done : done + self._next_tokens(done, ids.size)]
            end = done + piece.size
            reads = np.flatnonzero(is_read[done:end]).astype(np.int32)
            found = self._call(piece, past[:done], reads, keep=end < ids.size)
            vectors[filled : filled + reads.size] = found
            filled += reads.size
            if end < ids.size:
                qwen.read_kept(self._request, past[done:end])
            if end // GIVE_BACK_TOKENS > done // GIVE_BACK_TOKENS:
                give_back()
            done = end
            yield done - counted
            counted = done
            if done == ids.size:
                return vectors

    def _start_past(self) -> Floats:
        """Keys and values of what prompts begin with, (S, 2 layers, k, d)."""
        if self._started is None:
            past = self._room(self._start.size)
            done = 0
            while done < self._start.size:
                end = done + self._next_tokens(done, self._start.size)
                self._call(self._start[done:end], past[:done], _NO_IDS, keep=True)
                qwen.read_kept(self._request, past[done:end])
                done = end
            self._started = past
        return self._started

    def _next_tokens(self, done: int, tokens: int) -> int:
        """Tokens of the next piece: the rest in equal pieces, whose attention fits its memory."""
        score_bytes = 4 * self._config.decoder.heads * (done + self._piece_tokens)
        most = max(1, min(self._piece_tokens, ATTENTION_BYTES // score_bytes))
        left = tokens - done
        return -(-left // -(-left // most))

    def _room(self, tokens: int) -> Floats:
        """Room for keys and values, (P, 2 layers, k, d), which takes memory as it is filled."""
        sizes = self._config.decoder
        shape = (tokens, 2 * sizes.layers, sizes.kv_heads, sizes.head_dim)
        return np.empty(shape, dtype=np.float32)

    def _call(self, piece: TokenIds, past: Floats, reads: TokenIds, *, keep: bool) -> Vectors:
        """Run a piece behind a past: the vectors (R, d) of the tokens of it that are read."""
        request = self._request
        inputs = pack([piece], self._config.decoder, past=past, keep=keep)
        # one that nobody asked for where none is read: the graph has no empty tensors to project
        inputs["last"] = reads if reads.size else np.zeros(1, dtype=np.int32)
        inputs["words"] = self._weights.rows(EMBEDDINGS, inputs.pop("ids"))
        for name, values in inputs.items():
            request.set_tensor(name, ov.Tensor(values, shared_memory=True))
        try:
            request.infer()
        finally:  # with infer(inputs) the request would hold the past until its next call
            request.set_tensor("past", self._no_past)
            self._matrices.let_go()
        return request.get_tensor("vectors").data[: reads.size].copy()


def _graph(
    config: ListwiseConfig, weights: TableWeights, matrices: MappedArrays, precision: Precision
) -> Model:
    """The graph of a precision; int8 matrices go to `matrices`."""
    projector = weights(PROJECTOR)
    if precision != "int8":
        return listwise.build(config, weights, projector, keeps_stream=precision == "bf16")
    turned = TurnedWeights(config.decoder, weights)
    rounded = Int8Weights(turned, ("layers.",), arrays=matrices)
    return listwise.build(config, rounded, turned.head(projector), is_turned=True)
