"""Factors that make whole-token int8 agree with fp32 where some channels are louder than others.

A token's activations share one scale, so that a loud channel takes the levels of all others. Every
input of a product is therefore multiplied by a factor of its channel, and the matrix's column
divided by it: the square root of how loud the column is over how loud the channel is. Factors are
powers of two, so nothing but the rounding to int8 moves. How loud channels are is found by one
short run in fp32 over made-up rows, the same for every start: it is the weights that make them so.

Source: Xiao et al. 2022, arXiv:2211.10438, with alpha = 0.5.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from rerankd.core.rows import Row
from rerankd.engines.encoder import FloatWeights, Weights
from rerankd.engines.openvino.compilation import compile_graph
from rerankd.engines.openvino.runtime import Model, Node, ops

Floats = npt.NDArray[np.float32]
_ROWS, _TOKENS = 6, 120
_ENDS = 64  # ids at either end of a vocabulary, where special tokens and punctuation are
_QUIETEST: Final = 2.0**-12  # of the loudest: what is quieter still counts as this


@dataclass(frozen=True, slots=True)
class Watched:
    """Weights that are as they are, and what is multiplied by which of them."""

    source: FloatWeights
    inputs: dict[str, tuple[Node, list[str]]] = field(
        default_factory=dict[str, tuple[Node, list[str]]]
    )  # by node: itself, and the matrices that it meets

    def __call__(self, name: str) -> Floats:
        """One tensor."""
        return self.source(name)


def watch(weights: Weights, x: Node, matrix: str) -> None:
    """Note that x (T, inputs) is multiplied by a matrix, if somebody wants to know."""
    if isinstance(weights, Watched):
        weights.inputs.setdefault(x.get_name(), (x, []))[1].append(matrix)


def channel_factors(
    build: Callable[[Weights], Model],
    pack: Callable[[Sequence[Row]], dict[str, Any]],
    weights: FloatWeights,
    prefixes: tuple[str, ...],
    *,
    vocab: int,
    longest: int,
) -> dict[str, Floats]:
    """What the inputs of each matrix are multiplied by, (inputs,), by the matrix's name.

    Matrices that meet the same input share their factors.

    Args:
        build: the graph of some weights.
        pack: its inputs, of rows.
        weights: the tensors; all are in memory once more while the run lasts.
        prefixes: how the names of matrices that become int8 start.
        vocab: ids of the model.
        longest: tokens of a row at most.

    Raises:
        StartError: OpenVINO cannot compile the graph here.
    """
    watched = Watched(weights)
    model = build(watched)
    rounded = [
        (x, [name for name in names if name.startswith(prefixes)])
        for x, names in watched.inputs.values()
    ]
    met = [(x, names) for x, names in rounded if names]
    first = ops.constant(np.array([0], np.int64))
    outputs = len(model.outputs)
    model.add_results([ops.result(ops.reduce_max(ops.abs(x), first, False)) for x, _ in met])
    compiled = compile_graph(model, streams=1, threads=1, precision="fp32")
    request = compiled.create_infer_request()
    loudest: list[Floats] = []
    for row in _rows(vocab, min(longest, _TOKENS)):
        request.infer(pack([row]))
        found = [request.get_output_tensor(outputs + i).data.copy() for i in range(len(met))]
        loudest = list(map(np.maximum, loudest, found)) if loudest else found
    factors: dict[str, Floats] = {}
    for (_, names), channels in zip(met, loudest, strict=True):
        columns = np.max([np.abs(weights(name)).max(axis=0) for name in names], axis=0)
        factors |= dict.fromkeys(names, factors_of(channels, columns))
    return factors


def factors_of(channels: Floats, columns: Floats) -> Floats:
    """Powers of two, (inputs,), of how loud channels and columns are, (inputs,) each."""
    parts = [np.maximum(x, max(x.max() * _QUIETEST, 1e-30)) for x in (columns, channels)]
    exponents = (np.log2(parts[0]) - np.log2(parts[1])) / 2
    return np.exp2(np.rint(exponents - exponents.mean())).astype(np.float32)


def _rows(vocab: int, tokens: int) -> list[Row]:
    """Ids of everywhere in a vocabulary, its ends included."""
    rng = np.random.default_rng(np.random.PCG64(0))
    made = [rng.integers(0, vocab, tokens) for _ in range(_ROWS)]
    ends = np.concatenate([np.arange(_ENDS), np.arange(vocab - _ENDS, vocab)]).clip(0, vocab - 1)
    made.append(rng.permutation(ends)[:tokens])
    return [Row(ids.astype(np.int32), ids.size // 4) for ids in made]
