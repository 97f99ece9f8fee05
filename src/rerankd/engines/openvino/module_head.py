"""`ModuleHeadEngine`: a cross-encoder whose head is layers behind the pooled states."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rerankd.core.options import Precision
from rerankd.core.rows import Logits, Row
from rerankd.engines.base import EngineInfo
from rerankd.engines.dense import BehindLayer, PoolingMode
from rerankd.engines.encoder import FloatWeights
from rerankd.engines.openvino.states import BodyConfig, StateEncoder


class ModuleHeadEngine:
    """Ids in, logits out; see engines.base.Engine."""

    def __init__(
        self,
        config: BodyConfig,
        weights: FloatWeights,
        *,
        pooling: Sequence[PoolingMode],
        layers: Sequence[BehindLayer],
        streams: int | None = None,
        precision: Precision = "fp32",
    ) -> None:
        """Build the graph and compile it.

        Args:
            config: sizes of the body.
            weights: its tensors; read once, and not kept.
            pooling: of a row's states to one vector.
            layers: behind it, in order; the last gives the K logits.
            streams: micro-batches that run at once, one thread each; None = all usable cores.
            precision: "int8" is of the body's layers (int8.py).

        Raises:
            StartError: OpenVINO cannot compile the graph here, or cannot run it in `precision`.
        """
        self._encoder = StateEncoder(
            config,
            weights,
            pooling=pooling,
            dense=layers,
            streams=streams,
            precision=precision,
        )
        self._info = EngineInfo(
            name="openvino",
            device="cpu",
            precision=precision,
            max_length=config.max_length,
            batch_tokens=self._encoder.batch_tokens,
        )

    @property
    def info(self) -> EngineInfo:
        """Name, device, precision and limits."""
        return self._info

    def forward(self, batch: Sequence[Row]) -> Logits:
        """Logits (B, K) of B rows; see engines.base.Engine.forward."""
        return np.stack(self._encoder.encode(batch))

    def close(self) -> None:
        """Drop the compiled graph and its weights."""
        self._encoder.close()
