"""config.json of a JinaBERT cross-encoder (jina-reranker-v1), whose code is its publisher's.

Whose file that is decides what the heads beyond a power of two lose by distance: in
jinaai/jina-bert-implementation as Press et al. have it, in the rerankers' own modeling_bert.py half
of that. So the name in auto_map is compared, and nothing behind it is ever run.
Sources: jinaai/jina-bert-implementation, configuration_bert.JinaBertConfig and
modeling_bert.JinaBertEncoder.rebuild_alibi_tensor; for the halves, at second hand,
obelisk-complex/llama.cpp 411b7d6, scripts/wikiq/fix-rerank-gguf.py.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Final

import msgspec

from rerankd.engines.jina_bert_config import Gate, JinaBertConfig
from rerankd.models.folder_file import shown
from rerankd.models.sizes import Layers, Positive, Size
from rerankd.models.unsupported import refuse_unsupported

_GATES: Final[dict[str, Gate]] = {"geglu": "gelu", "reglu": "relu"}
_IMPLEMENTATION: Final = "jinaai/jina-bert-implementation"
_OWN: Final = ("", "jinaai/jina-reranker-v1-tiny-en", "jinaai/jina-reranker-v1-turbo-en")
_HALVED_HEADS: Final = 12  # the only count of which the halves are known


class _RemoteCode(msgspec.Struct, frozen=True):
    """Where the publisher's code lies: "repository--file.Class", or "file.Class" beside it."""

    model: str | None = msgspec.field(default=None, name="AutoModelForSequenceClassification")

    @property
    def repository(self) -> str | None:
        """Of the model's code: empty = the folder itself, None = nobody said."""
        if self.model is None:
            return None
        before, between, _ = self.model.rpartition("--")
        return before if between else ""


class JinaBertFields(msgspec.Struct):
    """The fields that change what is computed; defaults are those of the publisher's code."""

    hidden_size: Size
    num_hidden_layers: Layers
    num_attention_heads: Size
    intermediate_size: Size
    vocab_size: Size
    max_position_embeddings: Size
    type_vocab_size: Size = 2
    layer_norm_eps: Positive = 1e-12
    feed_forward_type: str = "original"
    position_embedding_type: str = "absolute"
    is_decoder: bool = False
    is_causal: bool = False
    add_cross_attention: bool = False
    id2label: dict[str, object] | None = None
    num_labels: Size | None = None
    auto_map: _RemoteCode = _RemoteCode()


def alibi_slopes(heads: int, *, halved: bool) -> tuple[float, ...]:
    """What a token of distance 1 loses in each head, (heads,), the largest power of two first.

    halved: half of it for the heads beyond that power.
    """
    power = 1 << (heads.bit_length() - 1)
    exponents = [8.0 * (i + 1) / power for i in range(power)]
    between = [4.0 * (2 * i + 1) / power for i in range(heads - power)]
    return tuple(2.0**-e for e in (*exponents, *(e + halved for e in between)))


def jina_bert_config(raw: JinaBertFields, folder: Path) -> JinaBertConfig:
    """Sizes of the model; one label if nothing is said, as its card loads it.

    Raises:
        StartError: the fields ask for something that the graph does not compute.
    """
    labels = len(raw.id2label) if raw.id2label is not None else raw.num_labels or 1
    heads, repository = raw.num_attention_heads, raw.auto_map.repository
    is_plain = math.log2(heads).is_integer() or repository == _IMPLEMENTATION
    is_halved = not is_plain and repository in _OWN and heads == _HALVED_HEADS
    wrong = {
        f"feed_forward_type {shown(raw.feed_forward_type)} (only 'geglu' and 'reglu')": (
            raw.feed_forward_type not in _GATES
        ),
        f"position_embedding_type {shown(raw.position_embedding_type)} (only 'alibi')": (
            raw.position_embedding_type != "alibi"
        ),
        "is_decoder true": raw.is_decoder,
        "is_causal true": raw.is_causal,
        "add_cross_attention true": raw.add_cross_attention,
        f"{labels} labels (only 1, or 2 = irrelevant and relevant)": labels not in (1, 2),
        f"hidden_size {raw.hidden_size}, which num_attention_heads {heads} does not divide": (
            raw.hidden_size % heads != 0
        ),
        f"num_attention_heads {heads} with the code of auto_map's "
        f"AutoModelForSequenceClassification {shown(raw.auto_map.model)}, whose slopes are not "
        "known": not (is_plain or is_halved),
    }
    refuse_unsupported(folder / "config.json", wrong)
    return JinaBertConfig(
        hidden=raw.hidden_size,
        layers=raw.num_hidden_layers,
        heads=heads,
        intermediate=raw.intermediate_size,
        vocab=raw.vocab_size,
        positions=raw.max_position_embeddings,
        token_types=raw.type_vocab_size,
        layer_norm_eps=raw.layer_norm_eps,
        gate=_GATES[raw.feed_forward_type],
        slopes=alibi_slopes(heads, halved=is_halved),
        labels=labels,
    )
