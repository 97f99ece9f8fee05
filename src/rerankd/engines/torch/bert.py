"""BERT, XLM-R / RoBERTa, ELECTRA and DistilBERT: the same layers under their heads.

Every layer normalises after the sum. The heads read the first token of each row, so the last layer
is computed for that one only: exact. Pooler and classifier run in fp32.

Shapes: T tokens of the call, B rows, h hidden size, a heads, d head size, K labels.
Sources: Devlin et al. 2019, arXiv:1810.04805, with the layer order of transformers'
modeling_bert.BertLayer; heads: BertForSequenceClassification,
modeling_xlm_roberta.XLMRobertaClassificationHead.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from rerankd.core.rows import Row
from rerankd.engines.encoder import HEADS, PROJECT, Architecture, EncoderConfig
from rerankd.engines.pack import pack
from rerankd.engines.shared_prefix import Group
from rerankd.engines.torch.layers import LayerNorm, Linear, Loader, heads_of, members
from rerankd.engines.torch.plan import first_tokens, whole_rows


@dataclass(frozen=True, slots=True, eq=False)
class _Layer:
    qkv: Linear  # (3 h, h)
    out: Linear
    out_norm: LayerNorm
    inner: Linear
    back: Linear
    back_norm: LayerNorm

    def finish(self, mixed: Tensor, x: Tensor) -> Tensor:
        """What follows attention: two residual steps, each normalised after the sum."""
        x = self.out_norm(self.out(mixed) + x)
        return self.back_norm(self.back(functional.gelu(self.inner(x))) + x)


class Bert:
    """See engines.torch.layers.Network."""

    def __init__(self, config: EncoderConfig, load: Loader) -> None:
        self._config = config
        self._load = load
        eps = config.layer_norm_eps
        self._tables = {
            index: load.tensor(f"embeddings.{name}_embeddings.weight")
            for index, name in (("ids", "word"), ("types", "token_type"), ("positions", "position"))
            if index != "types" or config.token_types
        }
        self._norm = load.layer_norm("embeddings.LayerNorm", eps)
        self._layers = [_layer(load, f"encoder.layer.{i}", eps) for i in range(config.layers)]
        self._project = load.linear(PROJECT) if config.embedding else None
        dense, last = HEADS[config.architecture]
        self._dense = load.linear(dense, exact=True)
        self._classifier = load.linear(last, exact=True)

    def __call__(self, rows: Sequence[Row], groups: Sequence[Group]) -> Tensor:
        """Logits (B, K)."""
        packed = pack(members(rows, groups), self._config)
        found = [table[self._load.array(packed[at])] for at, table in self._tables.items()]
        x = self._norm(reduce(operator.add, found))
        x = x if self._project is None else self._project(x)
        first = self._load.array(packed["first"])
        head_dim = self._config.hidden // self._config.heads
        every = self._load.attention(whole_rows(packed["lengths"]), head_dim)
        firsts = self._load.attention(first_tokens(packed["lengths"]), head_dim)
        for layer in self._layers[:-1]:
            q, k, v = (heads_of(part, head_dim) for part in layer.qkv(x).chunk(3, dim=1))
            x = layer.finish(every(q, k, v).flatten(1), x)
        layer, h = self._layers[-1], self._config.hidden
        k, v = (heads_of(part, head_dim) for part in layer.qkv.part(h)(x).chunk(2, dim=1))
        x = x[first]
        q = heads_of(layer.qkv.part(0, h)(x), head_dim)
        x = layer.finish(firsts(q, k, v).flatten(1), x).float()
        return self._classifier(_ACTIVATIONS[self._config.architecture](self._dense(x)))


_ACTIVATIONS: Final[dict[Architecture, Callable[[Tensor], Tensor]]] = {
    "bert": torch.tanh,
    "xlm-roberta": torch.tanh,
    "electra": functional.gelu,
    "distilbert": functional.relu,
}


def _layer(load: Loader, block: str, eps: float) -> _Layer:
    attend = f"{block}.attention.self"
    return _Layer(
        qkv=load.linear(*(f"{attend}.{part}" for part in ("query", "key", "value"))),
        out=load.linear(f"{block}.attention.output.dense"),
        out_norm=load.layer_norm(f"{block}.attention.output.LayerNorm", eps),
        inner=load.linear(f"{block}.intermediate.dense"),
        back=load.linear(f"{block}.output.dense"),
        back_norm=load.layer_norm(f"{block}.output.LayerNorm", eps),
    )
