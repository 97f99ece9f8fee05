"""Qwen3 as a listwise reranker: a piece of one prompt behind its past -> a vector per place read.

As qwen, with one row (B = 1), whose `last` are all tokens that are read, and layers that may see a
window of tokens only. The last layer's queries, output and MLP, the final norm and the projector
are computed for the tokens that are read, because nothing else is: exact.

Shapes: T own tokens of the call, P tokens of the past, R tokens that are read, h hidden size.
Sources: jina-reranker-v3, modeling.JinaForRanking; the window as transformers' masking_utils.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from rerankd.engines.encoder import Weights
from rerankd.engines.listwise_config import ListwiseConfig
from rerankd.engines.openvino.blocks import HIDDEN_SLOT, constant, linear, product
from rerankd.engines.openvino.qwen import QwenLayers
from rerankd.engines.openvino.runtime import Model, Node, ops, ov

_END = np.iinfo(np.int64).max  # of any axis


class _Sight:
    """What layers of one kind see: so much of the past, and masks over that and the own tokens."""

    def __init__(self, layers: QwenLayers, window: int | None) -> None:
        """Of a window, or of everything before (None): past, mask (T, P + T), read (R, P + T)."""
        inputs = layers.inputs
        zero, one = constant(0, np.int32), constant(1, np.int32)
        self.past = inputs.past
        if window is not None:  # the oldest token that any own one sees is window - 1 before it
            first = 1 - window if window > 1 else _END
            bounds = (constant([place], np.int64) for place in (first, _END, 1, 0))
            self.past = ops.slice(inputs.past, *bounds)
        before = ops.gather(ops.shape_of(self.past, "i32"), zero, zero)
        width = ops.gather(ops.shape_of(inputs.slots, "i32"), one, zero)
        seen = ops.range(zero, ops.add(before, width), one, "i32")

        def mask(own: Node) -> Node:
            at = ops.unsqueeze(ops.add(before, own), one)
            is_seen = ops.less_equal(seen, at)
            if window is not None:
                oldest = ops.subtract(at, constant(window - 1, np.int32))
                is_seen = ops.logical_and(is_seen, ops.greater_equal(seen, oldest))
            return ops.select(is_seen, constant(0.0, np.float32), constant(HIDDEN_SLOT, np.float32))

        self.mask = mask(ops.range(zero, width, one, "i32"))
        self.read = mask(inputs.last)


class ListwiseLayers(QwenLayers):
    """The layers of one graph."""

    def __init__(self, config: ListwiseConfig, weights: Weights, *, is_turned: bool) -> None:
        super().__init__(config.decoder, weights, is_turned=is_turned)
        whole = _Sight(self, None)
        near = _Sight(self, config.window) if config.windowed else whole
        self._sights = [
            near if layer in config.windowed else whole for layer in range(config.decoder.layers)
        ]

    def _past(self, layer: int) -> Node:
        return self._sights[layer // 2].past

    def _mask(self, index: int) -> Node:
        return self._sights[index].mask

    def _attend_last(self, q: Node, k: Node, v: Node, index: int) -> Node:
        return self._attend(ops.unsqueeze(q, constant(0, np.int32)), k, v, self._sights[index].read)


def build(
    config: ListwiseConfig,
    weights: Weights,
    projector: npt.NDArray[np.float32],
    *,
    is_turned: bool = False,
    keeps_stream: bool = False,
) -> Model:
    """The graph: a packed piece -> "vectors" (R, d), and what is kept of each layer, as qwen.build.

    Args:
        config: sizes.
        weights: the tensors of listwise_config.tensor_shapes().
        projector: its first matrix, (inner, h).
        is_turned: weights and projector are those of TurnedWeights.
        keeps_stream: as QwenLayers.run().
    """
    graph = ListwiseLayers(config, weights, is_turned=is_turned)
    x, results = graph.run(keeps_stream=keeps_stream)
    x = ops.relu(product(x, projector))
    vectors = linear(x, weights, "projector.2", bias=False)
    results.append(ops.result(vectors, name="vectors"))
    return ov.Model(results, graph.inputs.parameters(), "listwise")
