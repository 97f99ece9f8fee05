"""JinaBERT checkpoints (jina-reranker-v1) with made-up weights."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from tests.checkpoints.gte import TOKENS as XLMR_TOKENS
from tests.checkpoints.made import (
    VOCAB,
    Tensors,
    tokenizer_config,
    tokenizer_file,
    uniform,
    write_folder,
)

BERT_TOKENS = {"cls": "[CLS]", "sep": "[SEP]", "pad": "[PAD]", "unk": "[UNK]", "mask": "[MASK]"}
IMPLEMENTATION = "jinaai/jina-bert-implementation--modeling_bert.JinaBertForSequenceClassification"
OWN = "modeling_bert.JinaBertForSequenceClassification"  # beside config.json, as the rerankers have


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Sizes of a checkpoint, its gate, and whose code its config.json names."""

    hidden: int
    layers: int
    heads: int
    intermediate: int
    positions: int = 2048
    gate: str = "geglu"
    code: str = OWN
    labels: int = 1
    tokenizer: str = "xlm-roberta"  # or "bert", which tells documents apart


GOLDEN_SHAPES = {
    "tiny-jina-bert": Shape(hidden=48, layers=3, heads=12, intermediate=64),
    "tiny-jina-bert-reglu": Shape(
        hidden=24,
        layers=2,
        heads=3,
        intermediate=48,
        gate="reglu",
        code=IMPLEMENTATION,
        labels=2,
        tokenizer="bert",
    ),
}
TINY = GOLDEN_SHAPES["tiny-jina-bert"]
LONG = TINY.positions


def tensors(shape: Shape) -> Tensors:
    """All tensors under the names that the publisher gives them."""
    h, made = shape.hidden, Tensors()

    def linear(name: str, outputs: int, inputs: int, gain: float = 1.0) -> None:
        made[f"{name}.weight"] = uniform(name, (outputs, inputs), gain / math.sqrt(inputs))
        made[f"{name}.bias"] = uniform(f"{name}.bias", (outputs,), 0.1)

    def norm(name: str) -> None:
        made[f"{name}.weight"] = 1.0 + uniform(name, (h,), 0.2)
        made[f"{name}.bias"] = uniform(f"{name}.bias", (h,), 0.1)

    for name, rows, std in (("word", VOCAB, 1.0), ("token_type", 2, 0.5)):
        table = f"bert.embeddings.{name}_embeddings.weight"
        made[table] = uniform(table, (rows, h), std)
    norm("bert.embeddings.LayerNorm")
    for layer in range(shape.layers):
        block = f"bert.encoder.layer.{layer}"
        for part in ("query", "key", "value"):
            linear(f"{block}.attention.self.{part}", h, h, 1.4)
        linear(f"{block}.attention.output.dense", h, h, 2.0)
        norm(f"{block}.attention.output.LayerNorm")
        gated = f"{block}.mlp.gated_layers.weight"
        made[gated] = uniform(gated, (2 * shape.intermediate, h), 1.4 / math.sqrt(h))
        linear(f"{block}.mlp.wo", h, shape.intermediate, 2.0)
        norm(f"{block}.mlp.layernorm")
    linear("bert.pooler.dense", h, h)
    linear("classifier", shape.labels, h, 4.0)
    return made


def config(shape: Shape) -> dict[str, object]:
    """config.json as published, as far as it matters; one label goes without saying."""
    labels = {str(i): f"LABEL_{i}" for i in range(shape.labels)}
    return {
        "architectures": ["JinaBertForSequenceClassification"],
        "model_type": "bert",
        "auto_map": {"AutoModelForSequenceClassification": shape.code},
        "attn_implementation": "torch",  # a switch of speed
        "emb_pooler": "mean",  # of embeddings; no classifier reads it
        "feed_forward_type": shape.gate,
        "hidden_act": "gelu",  # of a feed-forward step without a gate
        "hidden_size": shape.hidden,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "intermediate_size": shape.intermediate,
        "vocab_size": VOCAB,
        "max_position_embeddings": shape.positions,
        "position_embedding_type": "alibi",
        "type_vocab_size": 2,
        "layer_norm_eps": 1e-12,
        "pad_token_id": 0 if shape.tokenizer == "bert" else 1,
        **({"id2label": labels} if shape.labels > 1 else {}),
    }


def write(folder: Path, shape: Shape, **change: object) -> Path:
    """Write the files of a checkpoint; `change` replaces fields of config.json."""
    return _write(folder, shape, config(shape) | change, tensors(shape))


def write_made(folder: Path, shape: Shape, made: Tensors) -> Path:
    """The same with other tensors."""
    return _write(folder, shape, config(shape), made)


def _write(folder: Path, shape: Shape, said: dict[str, object], made: Tensors) -> Path:
    is_bert = shape.tokenizer == "bert"
    tokens = BERT_TOKENS if is_bert else XLMR_TOKENS
    return write_folder(
        folder,
        config=said,
        tokenizer_config=tokenizer_config(tokens, window=shape.positions, types=is_bert),
        tokenizer=tokenizer_file(shape.tokenizer).read_text(encoding="utf-8"),
        tensors=made,
    )
