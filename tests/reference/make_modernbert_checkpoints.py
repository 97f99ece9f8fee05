"""ModernBERT checkpoints, and jina's names for an XLM-R, as make_checkpoints does the others.

`python -m tests.reference.make_modernbert_checkpoints` trains the small tokenizer again.
"""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file  # pyright: ignore[reportUnknownVariableType] - PathLike
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from tokenizers.trainers import BpeTrainer

from tests.reference import make_checkpoints
from tests.reference.make_checkpoints import HERE, TINY_XLMR, VOCAB, Tensors, uniform

TOKENIZER = HERE / "tokenizer-modernbert.json"
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
    """Write the four files of a checkpoint; `change` replaces fields of config.json."""
    tokenizer_config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": shape.positions,
        "model_input_names": ["input_ids", "attention_mask"],
        **{f"{token[1:-1].lower()}_token": token for token in SPECIALS},
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in (
        ("config.json", config(shape) | change),
        ("tokenizer_config.json", tokenizer_config),
    ):
        (folder / name).write_text(json.dumps(data, indent=1), encoding="utf-8")
    (folder / "tokenizer.json").write_bytes(TOKENIZER.read_bytes())
    save_file(tensors(shape), folder / "model.safetensors")
    return folder


def as_jina(made: Tensors) -> Tensors:
    """The tensors of an XLM-R under jina's names, query, key and value in one."""
    names = {
        "embeddings.LayerNorm": "emb_ln",
        "encoder.layer.": "encoder.layers.",
        "attention.output.dense": "mixer.out_proj",
        "attention.output.LayerNorm": "norm1",
        "intermediate.dense": "mlp.fc1",
        "output.dense": "mlp.fc2",
        "output.LayerNorm": "norm2",
    }
    parts = ("query", "key", "value")
    renamed = Tensors()
    for name, tensor in made.items():
        block, middle, rest = name.partition("attention.self.")
        part, _, kind = rest.partition(".")
        if middle and part != parts[0]:
            continue
        for old, new in names.items():
            block = block.replace(old, new)
        if middle:
            joined = [made[name.replace(parts[0], each)] for each in parts]
            renamed[f"{block}mixer.Wqkv.{kind}"] = np.concatenate(joined)
        else:
            renamed[block] = tensor
    return renamed


def write_jina(
    folder: Path, made: Tensors | None = None, shape: make_checkpoints.Shape = TINY_XLMR
) -> Path:
    """An XLM-R as jina-reranker-v2 is published: its names, no model_type, remote code."""
    jina = as_jina(make_checkpoints.tensors(shape)) if made is None else made
    make_checkpoints.write(folder, shape, jina)
    path = folder / "config.json"
    fields: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    del fields["model_type"]
    remote = "modeling_xlm_roberta.XLMRobertaForSequenceClassification"
    fields |= {"auto_map": {"AutoModelForSequenceClassification": remote}, "use_flash_attn": True}
    path.write_text(json.dumps(fields), encoding="utf-8")
    return folder


def train_tokenizer(texts: list[str]) -> Tokenizer:
    """Byte-level BPE as ModernBERT's, with VOCAB entries."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = BpeTrainer(
        vocab_size=VOCAB,
        special_tokens=SPECIALS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B [SEP]",
        special_tokens=[("[CLS]", 1), ("[SEP]", 2)],
    )
    return tokenizer


def main() -> None:
    """Train the tokenizer on the texts of pairs.jsonl and write it beside this file."""
    lines = (HERE / "pairs.jsonl").read_text(encoding="utf-8").splitlines()
    texts = [json.loads(line)[key] for line in lines for key in ("query", "document")]
    train_tokenizer(texts).save(str(TOKENIZER), pretty=False)


if __name__ == "__main__":
    main()
