"""A decoder with its activations turned, so that none is much louder than the others. Pure.

A few channels of a language model's activations are tens of times as large as the rest, and in int8
the scale of a token is its largest. RMSNorm gives the same for a turned vector, turned, once
its weights are in the matrices behind it; so the residual stream may be turned by an orthogonal
matrix Q if embeddings, and all that is added to it, come turned, and what reads it turns back. All
that is folded into the matrices, as is a turn of each head of values. Only the embeddings and the
input of `down_proj`, which a nonlinearity makes, are turned while the graph runs (inner_block()).
The function stays the same; nothing is calibrated.

Source: Ashkboos et al. 2024, arXiv:2404.00456 (QuaRot). Q is a Hadamard matrix; for sizes that are
no power of two, its product with a cosine transform. Random signs keep channels that are loud
together from adding up in one place.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from rerankd.engines.decoder import DecoderConfig
from rerankd.engines.encoder import FloatWeights

Floats = npt.NDArray[np.float32]

MAX_BLOCK: Final = 128  # turned together while the graph runs; larger ones cost more
_FACTOR: Final = 64  # of the fast form


def orthogonal(size: int) -> npt.NDArray[np.float64]:
    """An orthogonal matrix (size, size) whose entries are all about as large, without signs."""
    power = size & -size
    hadamard = np.ones((1, 1), dtype=np.float64)
    while len(hadamard) < power:
        rows = [np.concatenate([hadamard, sign * hadamard], axis=1) for sign in (1.0, -1.0)]
        hadamard = np.concatenate(rows) / np.float64(2**0.5)
    odd = size // power
    places = np.arange(odd)
    waves = np.cos(np.pi * (places[:, None] + 0.5) * places / odd) * np.sqrt(2 / odd)
    waves[:, 0] = odd**-0.5
    product = waves[:, None, :, None] * hadamard[None, :, None, :]
    return product.reshape(size, size)


def turned(x: Floats) -> Floats:
    """x Q, (N, size): signs, then a Kronecker product, factor by factor."""
    count, size = x.shape
    inner = min(size & -size, _FACTOR)
    outer = size // inner
    # the raw numbers of a generator are the same in every version of numpy
    drawn = np.asarray(np.random.PCG64(size).random_raw(size), dtype=np.uint64)
    signs = np.where(drawn >> np.uint64(63), np.float32(-1), np.float32(1))
    signed = (x * signs).reshape(count * outer, inner)
    half = (signed @ orthogonal(inner).astype(np.float32)).reshape(count, outer, inner)
    return np.matmul(orthogonal(outer).T.astype(np.float32), half).reshape(count, size)


def turn(size: int) -> Floats:
    """Q, (size, size)."""
    return turned(np.eye(size, dtype=np.float32))


def inner_block(config: DecoderConfig) -> int:
    """How many neighbouring inputs of `down_proj` are turned together; 1 = they stay."""
    return min(config.intermediate & -config.intermediate, MAX_BLOCK)


def blockwise(x: Floats, size: int) -> Floats:
    """x with every `size` neighbouring columns turned, (N, n); single ones stay."""
    return x if size == 1 else turned(x.reshape(-1, size)).reshape(x.shape)


@dataclass(frozen=True, slots=True)
class TurnedWeights:
    """The tensors of a decoder whose residual stream is turned; norms multiply by 1."""

    config: DecoderConfig
    source: FloatWeights  # what decoder.folded() gives

    def __call__(self, name: str) -> Floats:
        """One tensor of the layers, or the last norm."""
        if name == "norm.weight" or name.endswith("layernorm.weight"):
            return np.ones(self.config.hidden, dtype=np.float32)
        tensor = self.source(name)
        block, _, part = name.rpartition(".self_attn." if ".self_attn." in name else ".mlp.")
        match part:
            case "q_proj.weight" | "k_proj.weight":
                tensor = turned(tensor * self.source(f"{block}.input_layernorm.weight"))
            case "v_proj.weight":
                made = turned(tensor * self.source(f"{block}.input_layernorm.weight"))
                tensor = np.ascontiguousarray(self._heads(made.T).T)
            case "v_proj.bias":
                tensor = self._heads(tensor[None])[0]
            case "o_proj.weight":
                tensor = self._added(self._heads(tensor))
            case "o_proj.bias":
                tensor = turned(tensor[None])[0]
            case "gate_proj.weight" | "up_proj.weight":
                tensor = turned(tensor * self.source(f"{block}.post_attention_layernorm.weight"))
            case "down_proj.weight":
                tensor = self._added(blockwise(tensor, inner_block(self.config)))
            case _:  # biases and norms of queries and keys
                pass
        return tensor

    def head(self, row: Floats) -> Floats:
        """A head (K, h) that reads the turned stream behind the last norm."""
        return turned(row * self.source("norm.weight"))

    def _heads(self, x: Floats) -> Floats:
        """Values (N, heads * d), each head turned."""
        return blockwise(np.ascontiguousarray(x), self.config.head_dim)

    @staticmethod
    def _added(matrix: Floats) -> Floats:
        """A matrix (h, inputs) whose outputs are added to the turned stream."""
        return np.ascontiguousarray(turned(np.ascontiguousarray(matrix.T)).T)
