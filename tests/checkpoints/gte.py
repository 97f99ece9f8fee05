"""GTE checkpoints with made-up weights."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path

from tests.checkpoints.made import (
    VOCAB,
    Tensors,
    tokenizer_config,
    tokenizer_file,
    uniform,
    write_folder,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Sizes of a checkpoint, and which of the two forms its config.json has."""

    hidden: int
    layers: int
    heads: int
    intermediate: int
    positions: int
    theta: float = 20_000.0
    factor: float = 8.0  # of the NTK scaling
    labels: int = 1
    vocab: int = VOCAB
    is_published: bool = True  # config.json as published, not as transformers 5 writes it
    prefix: str = "new."

    @property
    def head_dim(self) -> int:
        """Values of one head."""
        return self.hidden // self.heads


LONG = 8192  # gte-multilingual-reranker-base's longest row
TINY = Shape(hidden=32, layers=3, heads=4, intermediate=48, positions=256)
TINY_SAVED = Shape(
    hidden=32,
    layers=2,
    heads=2,
    intermediate=64,
    positions=256,
    labels=2,
    is_published=False,
    prefix="gte.",
)
TRUE_WIDTH = Shape(hidden=768, layers=3, heads=12, intermediate=3072, positions=LONG)
GTE_MULTILINGUAL = dataclasses.replace(TRUE_WIDTH, layers=12)  # all its layers, a small vocabulary
GOLDEN_SHAPES = {
    "tiny-gte": dataclasses.replace(TINY, positions=LONG),
    "tiny-gte-saved": dataclasses.replace(TINY_SAVED, positions=LONG),
}
TOKENS = {"cls": "<s>", "sep": "</s>", "pad": "<pad>", "unk": "<unk>", "mask": "<mask>"}


def tensors(shape: Shape) -> Tensors:
    """All tensors under the names that the publisher gives them."""
    h, p, made = shape.hidden, shape.prefix, Tensors()

    def linear(name: str, outputs: int, inputs: int, gain: float = 1.0) -> None:
        made[f"{name}.weight"] = uniform(name, (outputs, inputs), gain / math.sqrt(inputs))
        made[f"{name}.bias"] = uniform(f"{name}.bias", (outputs,), 0.1)

    def norm(name: str) -> None:
        made[f"{name}.weight"] = 1.0 + uniform(name, (h,), 0.2)
        made[f"{name}.bias"] = uniform(f"{name}.bias", (h,), 0.1)

    for name, rows, std in (("word", shape.vocab, 1.0), ("token_type", 1, 0.5)):
        table = f"{p}embeddings.{name}_embeddings.weight"
        made[table] = uniform(table, (rows, h), std)
    norm(f"{p}embeddings.LayerNorm")
    for layer in range(shape.layers):
        block = f"{p}encoder.layer.{layer}"
        linear(f"{block}.attention.qkv_proj", 3 * h, h, 1.4)
        linear(f"{block}.attention.o_proj", h, h, 2.0)
        norm(f"{block}.attn_ln")
        gated = f"{block}.mlp.up_gate_proj.weight"
        made[gated] = uniform(gated, (2 * shape.intermediate, h), 1.4 / math.sqrt(h))
        linear(f"{block}.mlp.down_proj", h, shape.intermediate, 2.0)
        norm(f"{block}.mlp_ln")
    linear(f"{p}pooler.dense", h, h)
    linear("classifier", shape.labels, h, 4.0)
    return made


def saved_rope(shape: Shape) -> dict[str, object]:
    """The positions as transformers' GteConfig has them: NTK as a linear scaling."""
    scale = shape.factor ** (2 / shape.head_dim)
    theta = shape.theta * shape.factor
    return {"rope_type": "linear", "factor": scale, "rope_theta": theta}


def config(shape: Shape) -> dict[str, object]:
    """config.json, as far as it matters."""
    common: dict[str, object] = {
        "hidden_size": shape.hidden,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "intermediate_size": shape.intermediate,
        "vocab_size": shape.vocab,
        "max_position_embeddings": shape.positions,
        "type_vocab_size": 1,
        "layer_norm_eps": 1e-12,
        "hidden_act": "gelu",
        "pad_token_id": 1,
        "id2label": {str(i): f"LABEL_{i}" for i in range(shape.labels)},
        "label2id": {f"LABEL_{i}": i for i in range(shape.labels)},
    }
    if not shape.is_published:
        return common | {
            "architectures": ["GteForSequenceClassification"],
            "model_type": "gte",
            "rope_parameters": saved_rope(shape),
        }
    remote = "Alibaba-NLP/new-impl--modeling.NewForSequenceClassification"
    return common | {
        "architectures": ["NewForSequenceClassification"],
        "model_type": "new",
        "auto_map": {"AutoModelForSequenceClassification": remote},
        "layer_norm_type": "layer_norm",
        "position_embedding_type": "rope",
        "rope_theta": shape.theta,
        "rope_scaling": {"type": "ntk", "factor": shape.factor},
        "logn_attention_scale": False,
        "logn_attention_clip1": False,
        "pack_qkv": True,
        "unpad_inputs": False,  # two switches of speed
        "use_memory_efficient_attention": False,
    }


def write(folder: Path, shape: Shape, **change: object) -> Path:
    """Write the files of a checkpoint; `change` replaces fields of config.json."""
    return write_folder(
        folder,
        config=config(shape) | change,
        tokenizer_config=tokenizer_config(TOKENS, window=shape.positions),
        tokenizer=tokenizer_file("xlm-roberta").read_text(encoding="utf-8"),
        tensors=tensors(shape),
    )
