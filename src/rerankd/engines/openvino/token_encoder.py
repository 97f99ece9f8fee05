"""A BERT encoder whose answer is one unit vector per token, and one per text: no head, no logits.

The token vectors are the last hidden states, projected and normalised: what late interaction
compares (Khattab & Zaharia 2020, arXiv:2004.12832). The text's vector is the mean of its hidden
states, normalised, as sentence-transformers pools them (Reimers & Gurevych 2019, arXiv:1908.10084).

Int8 throughout: weights are int8 rows, and the inputs of linear layers are rounded: with scales
that are fixed beforehand (fixed_scales.py), where the inputs' ranges are known and this CPU sums
int8 exactly, and by groups of INT8_GROUP values of a token elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from queue import SimpleQueue
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from rerankd.core.errors import EngineFailed
from rerankd.core.rows import Row, TokenIds
from rerankd.engines.cores import usable_cores
from rerankd.engines.encoder import EncoderConfig, Int8Rows, Ranges, Weights, WordTable
from rerankd.engines.openvino import fixed_scales
from rerankd.engines.openvino.arithmetic import int8_is_exact
from rerankd.engines.openvino.blocks import Packing, embeddings, encoder, product
from rerankd.engines.openvino.compilation import compile_graph
from rerankd.engines.openvino.runtime import Model, ops, ov
from rerankd.engines.pack import SLOT_STEP, pack

Floats = npt.NDArray[np.float32]

PROJECTION: Final = "projection.weight"  # (p, h)
# Padded tokens that one stream runs at once, and kernels that are kept. With fixed scales 512, 1024
# and 2048 take 48.4, 46.4 and 46.2 us a token of rerankd-mini; kernels for more shapes take memory
# (training/LOG.md; bench/mini.py has the whole server).
MICRO_BATCH_TOKENS: Final = 1024
KERNELS: Final = 32
MIN_MICRO_BATCH_TOKENS: Final = 128
MAX_ROWS: Final = 64
# Values of one token that are rounded to int8 together. 128 measures fastest of 32, 128 and 384
# (training/LOG.md); the vectors differ from those of fp32 inputs by a cosine of 0.0007.
INT8_GROUP: Final = 128


@dataclass(frozen=True, slots=True, eq=False)
class EncodedWindow:
    """One text's vectors, each of length 1."""

    tokens: Floats  # (L, p)
    mean: Floats  # (h,)


def build(
    config: EncoderConfig,
    weights: Weights,
    *,
    words_given: bool = False,
    ranges: Ranges | None = None,
) -> Model:
    """The graph: packed rows -> hidden states (T, h) and their projections (T, p).

    With words_given it takes the word embeddings, (T, h), instead of the ids; with ranges scales
    are fixed.
    """
    packing, words = Packing.inputs(), None
    unused = [packing.first]
    if words_given:
        words = ops.parameter(ov.PartialShape([-1, config.hidden]), ov.Type.f32, name="words")
        unused.append(packing.ids)
    x = embeddings(packing, weights, config.layer_norm_eps, words=words)
    if ranges is None:
        x = encoder(x, packing, _Grouped(weights), config, every_token=True)
    else:
        x = fixed_scales.encoder(x, packing, weights, ranges, config)
    projected = product(x, weights(PROJECTION))
    parameters = [node for node in packing.parameters() if all(node is not u for u in unused)]
    if words is not None:
        parameters.append(words)
    results = [ops.result(x, name="states"), ops.result(projected, name="projected")]
    return ov.Model(results, parameters, "token-encoder")


@dataclass(frozen=True, slots=True)
class _Grouped:
    """Weights whose int8 rows are multiplied with INT8_GROUP."""

    source: Weights

    def __call__(self, name: str) -> npt.NDArray[np.float32] | Int8Rows:
        """One tensor."""
        tensor = self.source(name)
        return replace(tensor, group=INT8_GROUP) if isinstance(tensor, Int8Rows) else tensor


class TokenEncoder:
    """Token ids in, vectors out; several one-thread streams, as OpenVinoEngine."""

    def __init__(
        self,
        config: EncoderConfig,
        weights: Weights,
        *,
        words: WordTable | None = None,
        ranges: Ranges | None = None,
        streams: int | None = None,
    ) -> None:
        """Build the graph and compile it.

        Args:
            config: sizes; `labels` is not used.
            weights: BERT's tensors without a pooler and head, and PROJECTION.
            words: the word embeddings; None = they are among the weights.
            ranges: of the layers' inputs, if weights are int8 rows; None = they are not known.
            streams: micro-batches that run at once, one thread each; None = all usable cores.

        Raises:
            StartError: OpenVINO cannot compile the graph here.
        """
        self._config, self._words = config, words
        self._streams = streams or usable_cores()
        known = ranges if int8_is_exact() else None
        self._compiled: Any = compile_graph(
            build(config, weights, words_given=words is not None, ranges=known),
            streams=self._streams,
            threads=self._streams,
            precision="int8",
            group=0 if known else INT8_GROUP,
            kernels=KERNELS,
            fuses=False,  # as fast within 2 %, and 0.09 s sooner ready
        )
        self._idle: SimpleQueue[Any] = SimpleQueue()
        for _ in range(self._streams):
            self._idle.put(self._compiled.create_infer_request())
        self._pool = ThreadPoolExecutor(self._streams, thread_name_prefix="openvino")

    def encode(self, texts: Sequence[TokenIds]) -> list[EncodedWindow]:
        """The vectors of each text, special tokens included, 0 < L_i <= config.max_length.

        Those of a text are the same whatever the other texts.

        Raises:
            EngineFailed: the engine is closed, or OpenVINO could not run it.
        """
        if self._compiled is None:
            raise EngineFailed("the engine is closed")
        plan = self._plan([ids.size for ids in texts])
        runs = [self._pool.submit(self._infer, [texts[i] for i in members]) for members in plan]
        wait(runs)  # nothing is in flight any more, whatever happened
        found: dict[int, EncodedWindow] = {}
        try:
            for members, run in zip(plan, runs, strict=True):
                found.update(zip(members, run.result(), strict=True))
        except Exception as error:
            raise EngineFailed(f"OpenVINO could not encode the texts: {error}") from error
        return [found[i] for i in range(len(texts))]

    def _plan(self, lengths: Sequence[int]) -> list[list[int]]:
        """Micro-batches of texts that take equally many slots."""
        share = -(-sum(lengths) // self._streams)
        budget = min(MICRO_BATCH_TOKENS, max(MIN_MICRO_BATCH_TOKENS, share))
        alike: dict[int, list[int]] = {}
        for i, length in enumerate(lengths):
            alike.setdefault(_slots(length), []).append(i)
        plan: list[list[int]] = []
        for slots, members in sorted(alike.items(), reverse=True):
            at_once = max(1, min(MAX_ROWS, budget // slots))
            plan += [members[i : i + at_once] for i in range(0, len(members), at_once)]
        return plan

    def _infer(self, texts: Sequence[TokenIds]) -> list[EncodedWindow]:
        """One micro-batch on an idle infer request; there are as many as threads."""
        request = self._idle.get()
        try:
            rows = [Row(ids, int(ids.size)) for ids in texts]
            packed = pack(rows, self._config)  # which gives all of them _slots() places
            del packed["first"]
            inputs: dict[str, npt.NDArray[Any]] = {**packed}
            if self._words is not None:
                inputs["words"] = self._words.rows(inputs.pop("ids"))
            request.infer(inputs)
            states, tokens = (request.get_output_tensor(i).data.copy() for i in (0, 1))
        finally:
            self._idle.put(request)
        ends = np.cumsum([ids.size for ids in texts])[:-1]
        return [
            EncodedWindow(tokens=_unit(tokens), mean=_unit(states.mean(axis=0)))
            for states, tokens in zip(np.split(states, ends), np.split(tokens, ends), strict=True)
        ]

    def close(self) -> None:
        """Drop the compiled graph and its weights."""
        self._pool.shutdown()
        self._idle = SimpleQueue()
        self._compiled = None


def _slots(length: int) -> int:
    """Places in attention that a text takes: by its own length alone.

    The last bits of attention depend on how wide it is. Rounding to int8 would make visible
    differences of them, so what stands beside a text must not change its width.
    """
    return -(-length // SLOT_STEP) * SLOT_STEP


def _unit(x: Floats) -> Floats:
    """Vectors of length 1 along the last axis."""
    return x / np.maximum(np.sqrt(np.sum(x * x, axis=-1, keepdims=True)), np.float32(1e-12))
