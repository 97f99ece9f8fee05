"""ModernBERT checkpoints with made-up weights."""

from __future__ import annotations

import dataclasses
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

SPECIALS = ["[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Sizes of a checkpoint, and which of the two forms its config.json has."""

    hidden: int
    heads: int
    intermediate: int
    positions: int
    is_global: tuple[bool, ...]  # per layer
    local_attention: int
    pooling: str
    labels: int = 1
    bias: bool = False  # everywhere where a bias may be
    lists_layers: bool = False  # config.json as transformers 5 writes it, not as published
    global_theta: float = 160_000.0
    local_theta: float = 10_000.0
    tokenizer: str = "modernbert"  # or "xlm-roberta": SentencePiece words, as ruri-v3 has them


TINY = Shape(
    hidden=32,
    heads=4,
    intermediate=48,
    positions=320,
    is_global=(True, False, False, True),
    local_attention=16,
    pooling="mean",
)
TINY_LISTED = Shape(
    hidden=32,
    heads=2,
    intermediate=48,
    positions=256,
    is_global=(False, True, False),
    local_attention=11,
    pooling="cls",
    labels=2,
    bias=True,
    lists_layers=True,
    global_theta=50_000.0,
    local_theta=500.0,
)
TRUE_WIDTH = Shape(  # of gte-reranker-modernbert-base, with fewer layers
    hidden=768,
    heads=12,
    intermediate=1152,
    positions=8192,
    is_global=(True, False, False, True),
    local_attention=128,
    pooling="mean",
)
LONG = 8192  # gte-reranker-modernbert-base's longest row
GOLDEN_SHAPES = {
    "tiny-modernbert": dataclasses.replace(TINY, positions=LONG),
    "tiny-modernbert-pieces": dataclasses.replace(TINY, tokenizer="xlm-roberta", positions=LONG),
    "tiny-modernbert-listed": dataclasses.replace(TINY_LISTED, positions=LONG),
}


def tensors(shape: Shape) -> Tensors:
    """All tensors under the names that transformers gives them."""
    h, made = shape.hidden, Tensors()

    def linear(name: str, outputs: int, inputs: int, gain: float, *, bias: bool) -> None:
        made[f"{name}.weight"] = uniform(name, (outputs, inputs), gain / math.sqrt(inputs))
        if bias:
            made[f"{name}.bias"] = uniform(f"{name}.bias", (outputs,), 0.1)

    def norm(name: str) -> None:
        made[f"{name}.weight"] = 1.0 + uniform(name, (h,), 0.2)
        if shape.bias:
            made[f"{name}.bias"] = uniform(f"{name}.bias", (h,), 0.1)

    table = "model.embeddings.tok_embeddings.weight"
    made[table] = uniform(table, (VOCAB, h), 1.0)
    norm("model.embeddings.norm")
    for layer in range(len(shape.is_global)):
        block = f"model.layers.{layer}"
        if layer > 0:
            norm(f"{block}.attn_norm")
        linear(f"{block}.attn.Wqkv", 3 * h, h, 1.4, bias=shape.bias)
        linear(f"{block}.attn.Wo", h, h, 2.0, bias=shape.bias)
        norm(f"{block}.mlp_norm")
        linear(f"{block}.mlp.Wi", 2 * shape.intermediate, h, 1.0, bias=shape.bias)
        linear(f"{block}.mlp.Wo", h, shape.intermediate, 2.0, bias=shape.bias)
    norm("model.final_norm")
    linear("head.dense", h, h, 1.0, bias=shape.bias)
    norm("head.norm")
    linear("classifier", shape.labels, h, 4.0, bias=True)
    return made


def config(shape: Shape) -> dict[str, object]:
    """config.json, as far as it matters."""
    common: dict[str, object] = {
        "architectures": ["ModernBertForSequenceClassification"],
        "model_type": "modernbert",
        "hidden_size": shape.hidden,
        "num_hidden_layers": len(shape.is_global),
        "num_attention_heads": shape.heads,
        "intermediate_size": shape.intermediate,
        "vocab_size": VOCAB,
        "max_position_embeddings": shape.positions,
        "local_attention": shape.local_attention,
        "norm_eps": 1e-5,
        "hidden_activation": "gelu",
        "classifier_activation": "gelu",
        "classifier_pooling": shape.pooling,
        **{f"{part}_bias": shape.bias for part in ("norm", "attention", "mlp", "classifier")},
        **{f"{role}_token_id": i for role, i in (("cls", 1), ("sep", 2), ("pad", 3))},
        "bos_token_id": 1,
        "eos_token_id": 2,
        "id2label": {str(i): f"LABEL_{i}" for i in range(shape.labels)},
        "label2id": {f"LABEL_{i}": i for i in range(shape.labels)},
    }
    if not shape.lists_layers:
        return common | {
            "global_attn_every_n_layers": 3,
            "global_rope_theta": shape.global_theta,
            "local_rope_theta": shape.local_theta,
            "layer_norm_eps": 0.5,  # is there in published files; norm_eps counts
            "position_embedding_type": "absolute",  # too
        }
    thetas = (("full_attention", shape.global_theta), ("sliding_attention", shape.local_theta))
    return common | {
        "layer_types": [thetas[0 if is_global else 1][0] for is_global in shape.is_global],
        "rope_parameters": {
            kind: {"rope_type": "default", "rope_theta": theta} for kind, theta in thetas
        },
    }


def write(folder: Path, shape: Shape, **change: object) -> Path:
    """Write the files of a checkpoint; `change` replaces fields of config.json."""
    own, tokenizer = files_of(shape)
    return write_folder(
        folder,
        config=config(shape) | change,
        tokenizer_config=own,
        tokenizer=tokenizer,
        tensors=tensors(shape),
    )


def files_of(shape: Shape) -> tuple[dict[str, object], str]:
    """tokenizer_config.json and tokenizer.json."""
    path = tokenizer_file(shape.tokenizer)
    tokens = {token[1:-1].lower(): token for token in SPECIALS}
    own = tokenizer_config(tokens, window=shape.positions)
    if shape.tokenizer == "modernbert":
        return own, path.read_text(encoding="utf-8")
    template = "[CLS] $A [SEP] $B:1 [SEP]:1"
    return own, relabelled(path, ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]"], template)
