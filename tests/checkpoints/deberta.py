"""DeBERTa-v2 checkpoints with made-up weights."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from tests.checkpoints.made import (
    VOCAB,
    Tensors,
    relabelled,
    tokenizer_config,
    tokenizer_file,
    uniform,
    write_folder,
)

SPECIALS = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Sizes of a checkpoint, and what its attention knows of positions."""

    hidden: int
    layers: int
    heads: int
    intermediate: int
    positions: int = 512
    buckets: int = 256  # -1: none
    terms: tuple[str, ...] = ("p2c", "c2p")
    share_projections: bool = True
    norm_positions: bool = True
    token_types: int = 0
    labels: int = 1


# few buckets, so that the pairs have distances in all of them
TINY = Shape(hidden=32, layers=3, heads=4, intermediate=64, buckets=32)
TINY_APART = Shape(
    hidden=32,
    layers=2,
    heads=2,
    intermediate=48,
    buckets=-1,
    terms=("p2c", "c2p"),
    share_projections=False,
    norm_positions=False,
    token_types=2,
    labels=2,
)
XSMALL_WIDTH = Shape(hidden=384, layers=3, heads=6, intermediate=1536)  # mxbai-rerank-xsmall-v1's
BASE_WIDTH = Shape(hidden=768, layers=2, heads=12, intermediate=3072)  # mxbai-rerank-base-v1's
GOLDEN_SHAPES = {"tiny-deberta": TINY, "tiny-deberta-apart": TINY_APART}


def tensors(shape: Shape) -> Tensors:
    """All tensors under the names that transformers gives them."""
    h, made = shape.hidden, Tensors()

    def linear(name: str, outputs: int, inputs: int, gain: float = 1.0) -> None:
        made[f"{name}.weight"] = uniform(name, (outputs, inputs), gain / math.sqrt(inputs))
        made[f"{name}.bias"] = uniform(f"{name}.bias", (outputs,), 0.1)

    def layer_norm(name: str) -> None:
        made[f"{name}.weight"] = 1.0 + uniform(name, (h,), 0.2)
        made[f"{name}.bias"] = uniform(f"{name}.bias", (h,), 0.1)

    def table(name: str, rows: int, std: float) -> None:
        made[f"{name}.weight"] = uniform(name, (rows, h), std)

    table("deberta.embeddings.word_embeddings", VOCAB, 1.0)
    if shape.token_types:
        table("deberta.embeddings.token_type_embeddings", shape.token_types, 0.5)
    layer_norm("deberta.embeddings.LayerNorm")
    span = shape.buckets if shape.buckets > 0 else shape.positions
    table("deberta.encoder.rel_embeddings", 2 * span, 1.0)
    if shape.norm_positions:
        layer_norm("deberta.encoder.LayerNorm")
    for layer in range(shape.layers):
        block = f"deberta.encoder.layer.{layer}"
        linear(f"{block}.attention.self.query_proj", h, h, 1.6)
        linear(f"{block}.attention.self.key_proj", h, h, 1.6)
        linear(f"{block}.attention.self.value_proj", h, h)
        if not shape.share_projections and "c2p" in shape.terms:
            linear(f"{block}.attention.self.pos_key_proj", h, h, 1.6)
        if not shape.share_projections and "p2c" in shape.terms:
            linear(f"{block}.attention.self.pos_query_proj", h, h, 1.6)
        linear(f"{block}.attention.output.dense", h, h, 2.0)
        layer_norm(f"{block}.attention.output.LayerNorm")
        linear(f"{block}.intermediate.dense", shape.intermediate, h)
        linear(f"{block}.output.dense", h, shape.intermediate)
        layer_norm(f"{block}.output.LayerNorm")
    linear("pooler.dense", h, h)
    linear("classifier", shape.labels, h, 4.0)
    return made


def config(shape: Shape) -> dict[str, object]:
    """config.json with the fields of mxbai-rerank v1's, as far as they matter."""
    return {
        "architectures": ["DebertaV2ForSequenceClassification"],
        "model_type": "deberta-v2",
        "hidden_size": shape.hidden,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "intermediate_size": shape.intermediate,
        "vocab_size": VOCAB,
        "max_position_embeddings": shape.positions,
        "type_vocab_size": shape.token_types,
        "layer_norm_eps": 1e-7,
        "hidden_act": "gelu",
        "pooler_hidden_act": "gelu",
        "pooler_hidden_size": shape.hidden,
        "pooler_dropout": 0,
        "relative_attention": True,
        "max_relative_positions": -1,
        "position_buckets": shape.buckets,
        "norm_rel_ebd": "layer_norm" if shape.norm_positions else "none",
        "share_att_key": shape.share_projections,
        # published lists and joined strings are both in use
        "pos_att_type": list(shape.terms) if shape.norm_positions else "|".join(shape.terms),
        "position_biased_input": False,
        "pad_token_id": 0,
        "id2label": {str(i): f"LABEL_{i}" for i in range(shape.labels)},
        "label2id": {f"LABEL_{i}": i for i in range(shape.labels)},
    }


def write(folder: Path, shape: Shape, **change: object) -> Path:
    """Write the files of a checkpoint; `change` replaces fields of config.json."""
    tokens = {token[1:-1].lower(): token for token in SPECIALS}
    template = "[CLS] $A [SEP] $B:1 [SEP]:1"
    return write_folder(
        folder,
        config=config(shape) | change,
        tokenizer_config=tokenizer_config(tokens, window=shape.positions, types=True),
        tokenizer=relabelled(tokenizer_file("xlm-roberta"), SPECIALS, template),
        tensors=tensors(shape),
    )
