"""`DecoderEngine`: one decoder on the CPU, in fp32, bf16 or int8.

What rows have in common at their start is computed once and kept for the next batch or row
(shared_prefix). A long row runs as slices, each behind the keys and values of those before it. Both
are the same step: own tokens behind a past.

Weights are in memory once: the CPU plugin packs each matrix at the first call and reads its own
copy from then on, and what it packed lies in mapped files.

Memory beside the weights: one call's activations (MICRO_BATCH_TOKENS and ATTENTION_BYTES), the kept
prefixes (cache_bytes), and the past of the group in work and of each row between two slices: its
tokens times 8 * layers * kv_width bytes (229 KB per token for Qwen3-Reranker-0.6B).
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any, Final

import numpy as np

from rerankd.core.batch import plan_batches
from rerankd.core.errors import EngineFailed
from rerankd.core.options import Precision
from rerankd.core.rows import Logits, Row, TokenIds
from rerankd.engines.base import EngineInfo
from rerankd.engines.cores import usable_cores
from rerankd.engines.decoder import EMBEDDINGS, DecoderConfig, answer_row, folded
from rerankd.engines.encoder import TableWeights
from rerankd.engines.freed import give_back
from rerankd.engines.mapped_arrays import MappedArrays
from rerankd.engines.openvino import qwen
from rerankd.engines.openvino.compilation import compile_graph
from rerankd.engines.openvino.decoder_pack import pack
from rerankd.engines.openvino.int8 import Int8Weights
from rerankd.engines.openvino.runtime import Model, ov
from rerankd.engines.shared_prefix import Floats, Group, PrefixCache, plan_groups
from rerankd.engines.turned import TurnedWeights

# Padded tokens of one call; the matrix products gain nothing from more.
MICRO_BATCH_TOKENS: Final = 1024
# What a slice takes: 0.3 s of one core at 200 GFLOP/s; behind 8000 tokens, some five times as long.
SLICE_FLOPS: Final = 60e9
# Fewer tokens cost more each: 64 of Qwen3-Reranker-0.6B take a fifth more than 128 do, which take
# 0.5 s of one core (bench/engine_units.py). And most rows have more than 128 tokens: cut, ten rows
# of 200 tokens took a fifth longer than whole. Of longer slices, keys and values exist three times
# for a while.
MIN_SLICE_TOKENS: Final = 256
MAX_SLICE_TOKENS: Final = 512
# After so many tokens of one row the memory that its slices freed is given back: without, a row of
# 4000 tokens of Qwen3-Reranker-0.6B leaves 1.4 GB behind (bench/engine_units.py).
GIVE_BACK_TOKENS: Final = 512
# Of one call and layer: its attention scores, and its keys, which repeat the past for every row.
ATTENTION_BYTES: Final = 256 << 20
# 2340 tokens of Qwen3-Reranker-0.6B: some 30 queries with their template.
CACHE_BYTES: Final = 512 << 20
MAX_ROWS: Final = 256  # planned together


class DecoderEngine:
    """Ids in, one logit out; see engines.base.Engine."""

    def __init__(
        self,
        config: DecoderConfig,
        weights: TableWeights,
        *,
        yes: int,
        no: int | None,
        precision: Precision = "fp32",
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        """Build the graph and compile it: one call at a time, on all usable cores.

        Args:
            config: sizes of the model.
            weights: its tensors; read once, but for rows of the embeddings.
            yes: the row of the head (a token id, or a label) that speaks for a document.
            no: the one whose logit is subtracted, if any.
            precision: of the matrix products; "int8" turns the layers (engines.turned) and
                rounds their matrices.
            cache_bytes: of keys and values that are kept from call to call; 0 = none.

        Raises:
            StartError: OpenVINO cannot compile the graph in that precision here.
        """
        self._config = config
        self._weights = weights
        self._matrices = MappedArrays()
        graph = _graph(config, weights, self._matrices, yes=yes, no=no, precision=precision)
        self._compiled: Any = compile_graph(
            graph, streams=1, threads=usable_cores(), precision=precision
        )
        self._request: Any = self._compiled.create_infer_request()
        self._no_past = ov.Tensor(self._empty_past(0))
        self._cache = PrefixCache(cache_bytes)
        self._slice_tokens = slice_tokens(config)
        self._info = EngineInfo(
            name="openvino",
            device="cpu",
            precision=precision,
            max_length=config.max_length,
            # Prefixes are counted in every row, but run once, or not at all: the cache has them.
            batch_tokens=2 * self._slice_tokens,
            slice_tokens=self._slice_tokens,
            slice_bytes=4 * 2 * config.layers * config.kv_width,
        )

    @property
    def info(self) -> EngineInfo:
        """Name, device, precision and limits."""
        return self._info

    def forward(self, batch: Sequence[Row]) -> Logits:
        """Logits (B, 1) of B rows; see engines.base.Engine.forward."""
        if self._request is None:
            raise EngineFailed("the engine is closed")
        logits = np.empty((len(batch), 1), dtype=np.float32)
        try:
            for start in range(0, len(batch), MAX_ROWS):
                rows = [row.ids for row in batch[start : start + MAX_ROWS]]
                self._run_rows(rows, logits[start : start + MAX_ROWS])
        except Exception as error:
            raise EngineFailed(f"OpenVINO could not run the batch: {error}") from error
        return logits

    def slices(self, row: Row) -> Generator[int, None, Logits]:
        """Logits (1,) of one row, slice by slice; see engines.base.Sliced.

        What the cache has of it counts to the first slice. The row's keys and values are held until
        it ends or is closed.
        """
        try:
            return (yield from self._steps(row.ids))
        except Exception as error:
            raise EngineFailed(f"OpenVINO could not run the row: {error}") from error
        finally:
            if row.tokens > GIVE_BACK_TOKENS and self._compiled is not None:
                self._compiled.release_memory()
                give_back()

    def close(self) -> None:
        """Drop the compiled graph, its weights and the kept prefixes."""
        self._request = self._compiled = None
        self._cache.clear()

    def _run_rows(self, rows: Sequence[TokenIds], logits: Logits) -> None:
        """Logits (B, 1) of all rows, group by group."""
        held = [self._cache.match(ids[:-1]) for ids in rows]
        for group in plan_groups(rows, held):
            self._run_group(group, rows, logits)

    def _run_group(self, group: Group, rows: Sequence[TokenIds], logits: Logits) -> None:
        if len(group.members) == 1:
            logits[group.members[0]] = self._run_alone(rows[group.members[0]])
            return
        past = self._past(rows[group.members[0]][: group.prefix_tokens])
        own = {i: rows[i][group.prefix_tokens :] for i in group.members}
        limit = self._call_tokens(len(past), MICRO_BATCH_TOKENS)
        short = [i for i in group.members if own[i].size <= limit]
        if short:
            width = len(past) + max(own[i].size for i in short)
            lengths = [int(own[i].size) for i in short]
            most = max(1, ATTENTION_BYTES // (4 * self._config.kv_width * width))
            for places in plan_batches(lengths, max_tokens=limit, max_rows=most):
                members = [short[place] for place in places]
                logits[members] = self._call([own[i] for i in members], past)
        for i in group.members:
            if own[i].size > limit:
                logits[i] = self._run_alone(rows[i])

    def _run_alone(self, ids: TokenIds) -> Logits:
        """Logits (1,) of one row, all its slices."""
        steps = self._steps(ids)
        while True:
            try:
                next(steps)
            except StopIteration as end:
                return end.value

    def _steps(self, ids: TokenIds) -> Generator[int, None, Logits]:
        """Logits (1,) of one row; yields the tokens of each slice.

        The row is kept as it grows: the next one of the same request may start before it ends.
        """
        is_new = not self._cache.knows_siblings(ids[:-1])
        known = self._cache.get(ids[:-1])
        done = 0 if known is None else len(known)
        past = self._empty_past(ids.size)
        if known is not None:
            past[:done] = known
        counted = 0
        while True:
            most = self._call_tokens(done, self._slice_tokens)
            calls = -(-(ids.size - done) // most)
            piece = ids[done : done + -(-(ids.size - done) // calls)]
            logits = self._call([piece], past[:done], keep=True)
            qwen.read_kept(self._request, past[done : done + piece.size])
            done += piece.size
            if is_new:
                self._cache.put(ids[:done], past[:done], is_shared=False)
            if done // GIVE_BACK_TOKENS > (done - piece.size) // GIVE_BACK_TOKENS:
                give_back()
            yield done - counted
            counted = done
            if done == ids.size:
                return logits[0]

    def _past(self, ids: TokenIds) -> Floats:
        """Keys and values of a prefix, (P, 2 layers, k, d), from the cache as far as it goes."""
        past = self._extended(self._cache.get(ids), ids)
        self._cache.put(ids, past)
        return past

    def _extended(self, known: Floats | None, ids: TokenIds) -> Floats:
        """Keys and values of all of `ids`, of which the first ones are known; piece by piece."""
        done = 0 if known is None else len(known)
        if known is not None and done == ids.size:
            return known
        past = self._empty_past(ids.size)
        if known is not None:
            past[:done] = known
        while done < ids.size:
            piece = ids[done : done + self._call_tokens(done, self._slice_tokens)]
            self._call([piece], past[:done], keep=True)
            qwen.read_kept(self._request, past[done : done + piece.size])
            done += piece.size
        return past

    def _empty_past(self, tokens: int) -> Floats:
        """Room for keys and values, (P, 2 layers, k, d), which takes memory as it is filled."""
        config = self._config
        shape = (tokens, 2 * config.layers, config.kv_heads, config.head_dim)
        return np.empty(shape, dtype=np.float32)

    def _call(self, rows: Sequence[TokenIds], past: Floats, *, keep: bool = False) -> Logits:
        """Run own tokens behind a past: logits (B, 1)."""
        request = self._request
        inputs = pack(rows, self._config, past=past, keep=keep)  # to be held until the call is over
        inputs["words"] = self._weights.rows(EMBEDDINGS, inputs.pop("ids"))
        for name, values in inputs.items():
            request.set_tensor(name, ov.Tensor(values, shared_memory=True))
        try:
            request.infer()
        finally:  # with infer(inputs) the request would hold the past until its next call
            request.set_tensor("past", self._no_past)
            self._matrices.let_go()
        return request.get_tensor("logits").data.copy()

    def _call_tokens(self, past_tokens: int, most: int) -> int:
        """Padded tokens that one call takes behind so long a past: `most`, or fewer, or one.

        Their attention scores, over the past and themselves, fit ATTENTION_BYTES.
        """
        score_bytes = 4 * self._config.heads * (past_tokens + most)
        return max(1, min(most, ATTENTION_BYTES // score_bytes))


def _graph(
    config: DecoderConfig,
    weights: TableWeights,
    matrices: MappedArrays,
    *,
    yes: int,
    no: int | None,
    precision: Precision,
) -> Model:
    """The graph of a precision; int8 matrices go to `matrices`, the rest as DecoderEngine."""
    head, tensors = answer_row(config, weights, yes=yes, no=no), folded(config, weights)
    if precision != "int8":
        return qwen.build(config, tensors, head, keeps_stream=precision == "bf16")
    turned = TurnedWeights(config, tensors)
    rounded = Int8Weights(turned, ("layers.",), arrays=matrices)
    return qwen.build(config, rounded, turned.head(head), is_turned=True)


def slice_tokens(config: DecoderConfig) -> int:
    """Tokens of a row that run at once: SLICE_FLOPS, within bounds; attention is not counted."""
    layer = config.hidden * (2 * config.query_width + 2 * config.kv_width + 3 * config.intermediate)
    fitting = SLICE_FLOPS / (2 * config.layers * layer)
    return int(min(max(fitting, MIN_SLICE_TOKENS), MAX_SLICE_TOKENS))
