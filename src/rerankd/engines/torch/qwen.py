"""Qwen3, Qwen2 and Mistral as rerankers: packed rows, shared prefixes once -> logits.

A prefix that rows share is in the call once (engines.torch.plan); the rows behind it see its keys
and values. The last layer's queries, output and MLP are computed for the last token of each row
only, because the head reads nothing else: exact. Final norm and head run in fp32.

Shapes: T tokens of the call, B rows, h hidden size, a query heads, k key heads, d head size.
Sources: transformers, modeling_qwen3.Qwen3ForCausalLM and modeling_qwen2.Qwen2ForCausalLM; SwiGLU:
Shazeer, arXiv:2002.05202.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from rerankd.core.rows import Row
from rerankd.engines.decoder import EMBEDDINGS, DecoderConfig, answer_row
from rerankd.engines.pack import Array
from rerankd.engines.rotary import rotations
from rerankd.engines.shared_prefix import Group
from rerankd.engines.torch.attention import Attend
from rerankd.engines.torch.layers import Linear, Loader, RmsNorm, heads_of, rotate
from rerankd.engines.torch.plan import Causal, causal, causal_slice


@dataclass(frozen=True, slots=True, eq=False)
class _Layer:
    norm: RmsNorm
    qkv: Linear  # (a d + 2 k d, h)
    q_norm: RmsNorm | None
    k_norm: RmsNorm | None
    out: Linear
    mlp_norm: RmsNorm
    gate_up: Linear  # (2 intermediate, h)
    down: Linear

    def finish(self, mixed: Tensor, x: Tensor) -> Tensor:
        """What follows attention, two residual steps."""
        x = x + self.out(mixed)
        gate, up = self.gate_up(self.mlp_norm(x)).chunk(2, dim=1)
        return x + self.down(functional.silu(gate) * up)


class Past:
    """Keys and values of the tokens of one row that have run."""

    def __init__(self, room: Tensor) -> None:
        """Nothing yet.

        Args:
            room: for all tokens of the row, (layers, 2, P, k, d).
        """
        self._held = room
        self.tokens = 0

    def extended(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Of one layer with those of the next tokens, (T, k, d) -> (P + T, k, d), kept."""
        end = self.tokens + k.shape[0]
        held = self._held[layer]
        held[0, self.tokens : end], held[1, self.tokens : end] = k, v
        return held[0, :end], held[1, :end]


class Decoder:
    """The layers and the head, behind whatever the tokens were made of."""

    def __init__(self, config: DecoderConfig, load: Loader, *, yes: int, no: int | None) -> None:
        self._config = config
        self._load = load
        self.words = load.tensor(EMBEDDINGS)
        self._layers = [_layer(config, load, i) for i in range(config.layers)]
        self._norm = load.rms_norm("norm", config.rms_norm_eps, exact=True)
        self._head = Linear(load.array(answer_row(config, load.weights, yes=yes, no=no)), None)

    def __call__(
        self,
        packed: Causal,
        x: Tensor,
        angles: Sequence[Tensor],
        added: Callable[[int, Tensor], Tensor] | None = None,
        past: Past | None = None,
    ) -> Tensor:
        """Logits (B, 1).

        Args:
            packed: who sees whom.
            x: the tokens, (T, h).
            angles: cosine and sine of their positions, (T, 1, d / 2) each.
            added: what becomes of the tokens after a layer, by its index; for all but the last.
            past: what they see beside themselves; it gets their keys and values.
        """
        config, load = self._config, self._load
        last = load.array(packed.last)
        ends = (config.heads, config.heads + config.kv_heads)
        every = load.attention(packed.every, config.head_dim)
        attend_last = load.attention(packed.ends, config.head_dim)
        for i, layer in enumerate(self._layers[:-1]):
            y = layer.norm(x)
            qkv = heads_of(layer.qkv(y), config.head_dim)
            q, k, v = torch.tensor_split(qkv, ends, dim=1)
            q, k = _turned(q, layer.q_norm, angles), _turned(k, layer.k_norm, angles)
            if past is not None:
                k, v = past.extended(i, k, v)
            x = layer.finish(every(q, k, v).flatten(1), x)
            if added is not None:
                x = added(i, x)
        x = self._last_layer(x, angles, last, attend_last, past)
        return self._head(self._norm(x.float()))

    def _last_layer(
        self,
        x: Tensor,
        angles: Sequence[Tensor],
        last: Tensor,
        attend: Attend,
        past: Past | None,
    ) -> Tensor:
        """(T, h) -> (B, h): keys and values of every token, the rest of the last ones."""
        layer, width, head_dim = self._layers[-1], self._config.query_width, self._config.head_dim
        y = layer.norm(x)
        k, v = (heads_of(part, head_dim) for part in layer.qkv.part(width)(y).chunk(2, dim=1))
        k = _turned(k, layer.k_norm, angles)
        if past is not None:
            k, v = past.extended(len(self._layers) - 1, k, v)
        q = heads_of(layer.qkv.part(0, width)(y[last]), head_dim)
        q = _turned(q, layer.q_norm, [table[last] for table in angles])
        return layer.finish(attend(q, k, v).flatten(1), x[last])


class Qwen:
    """See engines.torch.layers.Network."""

    def __init__(self, config: DecoderConfig, load: Loader, *, yes: int, no: int | None) -> None:
        self._load = load
        self._config = config
        self._decoder = Decoder(config, load, yes=yes, no=no)
        places = np.arange(config.max_length, dtype=np.int32)
        tables = rotations(places, config.head_dim, config.rope_theta)
        self._angles = [load.array(table) for table in tables]

    def __call__(self, rows: Sequence[Row], groups: Sequence[Group]) -> Tensor:
        """Logits (B, 1)."""
        return self._run(causal(rows, groups), None)

    def past(self, tokens: int) -> Past:
        """Room for a row of so many tokens."""
        config, load = self._config, self._load
        shape = (config.layers, 2, tokens, config.kv_heads, config.head_dim)
        return Past(torch.empty(shape, dtype=load.dtype, device=load.device))

    def slice(self, ids: Array, past: Past) -> Tensor:
        """Logits (1, 1) after the next tokens of a row, whose keys and values `past` gets."""
        logits = self._run(causal_slice(ids, past.tokens), past)
        past.tokens += ids.size
        return logits

    def _run(self, packed: Causal, past: Past | None) -> Tensor:
        places = self._load.array(packed.positions)
        x = self._decoder.words[self._load.array(packed.ids)]
        return self._decoder(packed, x, [table[places] for table in self._angles], past=past)


def _turned(x: Tensor, norm: RmsNorm | None, angles: Sequence[Tensor]) -> Tensor:
    """Heads normalised where the family does so, then rotated."""
    return rotate(x if norm is None else norm(x), *angles)


def _layer(config: DecoderConfig, load: Loader, index: int) -> _Layer:
    block, eps = f"layers.{index}", config.rms_norm_eps
    attend = f"{block}.self_attn"
    norms = [
        load.rms_norm(f"{attend}.{name}", eps) if config.has_head_norms else None
        for name in ("q_norm", "k_norm")
    ]
    return _Layer(
        norm=load.rms_norm(f"{block}.input_layernorm", eps),
        qkv=load.linear(
            *(f"{attend}.{name}" for name in ("q_proj", "k_proj", "v_proj")),
            bias=config.attention_bias,
        ),
        q_norm=norms[0],
        k_norm=norms[1],
        out=load.linear(f"{attend}.o_proj", bias=config.output_bias),
        mlp_norm=load.rms_norm(f"{block}.post_attention_layernorm", eps),
        gate_up=load.linear(f"{block}.mlp.gate_proj", f"{block}.mlp.up_proj", bias=False),
        down=load.linear(f"{block}.mlp.down_proj", bias=False),
    )
