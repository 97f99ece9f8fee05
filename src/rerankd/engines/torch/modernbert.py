"""ModernBERT: rotary positions, local and global layers, GeGLU, normalised before each step.

The head reads the mean of all tokens of a row, or the first. Final norm, pooling and head run in
fp32.

Shapes: T tokens of the call, B rows, h hidden size, a heads, d head size, K labels.
Sources: Warner et al. 2024, arXiv:2412.13663, as transformers has it in
modeling_modernbert.ModernBertForSequenceClassification; GeGLU: Shazeer, arXiv:2002.05202.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from rerankd.core.rows import Row
from rerankd.engines.modernbert_config import ModernBertConfig
from rerankd.engines.pack import pack_rows
from rerankd.engines.rotary import rotations
from rerankd.engines.shared_prefix import Group
from rerankd.engines.torch.layers import LayerNorm, Linear, Loader, heads_of, members, rotate
from rerankd.engines.torch.plan import near_tokens, whole_rows


@dataclass(frozen=True, slots=True, eq=False)
class _Layer:
    is_global: bool
    norm: LayerNorm | None  # None in the first layer: the embeddings are normalised already
    qkv: Linear  # (3 h, h)
    out: Linear
    mlp_norm: LayerNorm
    inner: Linear  # (2 intermediate, h): the first half, activated, gates the second
    back: Linear

    def mlp(self, x: Tensor) -> Tensor:
        """GeGLU, (T, h) -> (T, h)."""
        gate, value = self.inner(self.mlp_norm(x)).chunk(2, dim=1)
        return self.back(functional.gelu(gate) * value)


class ModernBert:
    """See engines.torch.layers.Network."""

    def __init__(self, config: ModernBertConfig, load: Loader) -> None:
        self._config = config
        self._load = load
        eps, bias = config.norm_eps, config.norm_bias
        self._words = load.tensor("embeddings.tok_embeddings.weight")
        self._norm = load.layer_norm("embeddings.norm", eps, bias=bias)
        self._layers = [_layer(config, load, i) for i in range(config.layers)]
        self._final_norm = load.layer_norm("final_norm", eps, bias=bias, exact=True)
        self._dense = load.linear("head.dense", bias=config.head_bias, exact=True)
        self._head_norm = load.layer_norm("head.norm", eps, bias=bias, exact=True)
        self._classifier = load.linear("classifier", exact=True)
        places = np.arange(config.positions, dtype=np.int32)
        self._angles = {
            is_global: [load.array(table) for table in rotations(places, config.head_dim, theta)]
            for is_global, theta in ((True, config.global_theta), (False, config.local_theta))
        }

    def __call__(self, rows: Sequence[Row], groups: Sequence[Group]) -> Tensor:
        """Logits (B, K)."""
        config, load = self._config, self._load
        packed = pack_rows(members(rows, groups))
        lengths, places = packed["lengths"], load.array(packed["places"])
        attend = {
            True: load.attention(whole_rows(lengths), config.head_dim),
            False: load.attention(near_tokens(lengths, config.reach), config.head_dim),
        }
        angles = {kind: [table[places] for table in both] for kind, both in self._angles.items()}
        x = self._norm(self._words[load.array(packed["ids"])])
        for layer in self._layers:
            y = x if layer.norm is None else layer.norm(x)
            q, k, v = (heads_of(part, config.head_dim) for part in layer.qkv(y).chunk(3, dim=1))
            q, k = (rotate(part, *angles[layer.is_global]) for part in (q, k))
            x = x + layer.out(attend[layer.is_global](q, k, v).flatten(1))
            x = x + layer.mlp(x)
        x = self._pool(x, load.array(packed["first"]), load.array(lengths.astype(np.int64)))
        x = self._head_norm(functional.gelu(self._dense(x)))
        return self._classifier(x)

    def _pool(self, x: Tensor, first: Tensor, lengths: Tensor) -> Tensor:
        """What the head reads of each row, (T, h) -> (B, h) fp32."""
        if self._config.pooling == "cls":
            return self._final_norm(x[first].float())
        x = self._final_norm(x.float())
        return torch.segment_reduce(x, "mean", lengths=lengths, unsafe=True)


def _layer(config: ModernBertConfig, load: Loader, index: int) -> _Layer:
    block, eps, bias = f"layers.{index}", config.norm_eps, config.norm_bias
    return _Layer(
        is_global=config.is_global[index],
        norm=load.layer_norm(f"{block}.attn_norm", eps, bias=bias) if index else None,
        qkv=load.linear(f"{block}.attn.Wqkv", bias=config.attention_bias),
        out=load.linear(f"{block}.attn.Wo", bias=config.attention_bias),
        mlp_norm=load.layer_norm(f"{block}.mlp_norm", eps, bias=bias),
        inner=load.linear(f"{block}.mlp.Wi", bias=config.mlp_bias),
        back=load.linear(f"{block}.mlp.Wo", bias=config.mlp_bias),
    )
