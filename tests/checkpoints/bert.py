"""BERT, XLM-R and RoBERTa checkpoints with made-up weights."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Sizes of a checkpoint; the tokenizer decides the family."""

    family: str  # "bert", "xlm-roberta" or "roberta"
    hidden: int
    layers: int
    heads: int
    intermediate: int
    positions: int
    labels: int = 1
    vocab: int = VOCAB

    @property
    def prefix(self) -> str:
        """What transformers puts before the encoder's tensors."""
        return "bert." if self.family == "bert" else "roberta."


MINILM_L6 = Shape(family="bert", hidden=384, layers=6, heads=12, intermediate=1536, positions=512)
XLMR_BASE = Shape(
    family="xlm-roberta", hidden=768, layers=12, heads=12, intermediate=3072, positions=514
)
TINY_BERT = Shape(family="bert", hidden=32, layers=2, heads=4, intermediate=64, positions=128)
TINY_XLMR = Shape(
    family="xlm-roberta", hidden=32, layers=2, heads=4, intermediate=64, positions=130
)
XLMR_LARGE = Shape(  # bge-reranker-large; v2-m3 but for its positions
    family="xlm-roberta", hidden=1024, layers=24, heads=16, intermediate=4096, positions=514
)
TINY_ROBERTA = Shape(family="roberta", hidden=32, layers=2, heads=4, intermediate=64, positions=514)
TINY_JINA = dataclasses.replace(TINY_XLMR, positions=1026)  # jina-reranker-v2's longest row
GOLDEN_SHAPES = {
    "tiny-bert": dataclasses.replace(TINY_BERT, positions=512),
    "tiny-bert-2-labels": dataclasses.replace(TINY_BERT, positions=512, labels=2),
    "tiny-xlmr": dataclasses.replace(TINY_XLMR, positions=514),
    "tiny-roberta": TINY_ROBERTA,
    "tiny-jina": TINY_JINA,
}
ROBERTA_SPECIALS = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
_ARCHITECTURES = {
    "bert": "BertForSequenceClassification",
    "xlm-roberta": "XLMRobertaForSequenceClassification",
    "roberta": "RobertaForSequenceClassification",
}


def tensors(shape: Shape) -> Tensors:
    """All tensors under the names that transformers gives them."""
    h, p, made = shape.hidden, shape.prefix, Tensors()

    def linear(name: str, outputs: int, inputs: int, gain: float = 1.0) -> None:
        made[f"{name}.weight"] = uniform(name, (outputs, inputs), gain / math.sqrt(inputs))
        made[f"{name}.bias"] = uniform(f"{name}.bias", (outputs,), 0.1)

    def layer_norm(name: str) -> None:
        made[f"{name}.weight"] = 1.0 + uniform(name, (h,), 0.2)
        made[f"{name}.bias"] = uniform(f"{name}.bias", (h,), 0.1)

    types = 2 if shape.family == "bert" else 1
    for name, rows, std in (("word", shape.vocab, 1.0), ("position", shape.positions, 0.3)):
        table = f"{p}embeddings.{name}_embeddings.weight"
        made[table] = uniform(table, (rows, h), std)
    table = f"{p}embeddings.token_type_embeddings.weight"
    made[table] = uniform(table, (types, h), 0.5)
    layer_norm(f"{p}embeddings.LayerNorm")
    for layer in range(shape.layers):
        block = f"{p}encoder.layer.{layer}"
        linear(f"{block}.attention.self.query", h, h, 1.4)
        linear(f"{block}.attention.self.key", h, h, 1.4)
        linear(f"{block}.attention.self.value", h, h)
        linear(f"{block}.attention.output.dense", h, h, 2.0)
        layer_norm(f"{block}.attention.output.LayerNorm")
        linear(f"{block}.intermediate.dense", shape.intermediate, h)
        linear(f"{block}.output.dense", h, shape.intermediate)
        layer_norm(f"{block}.output.LayerNorm")
    if shape.family == "bert":
        linear("bert.pooler.dense", h, h)
        linear("classifier", shape.labels, h, 4.0)
    else:
        linear("classifier.dense", h, h)
        linear("classifier.out_proj", shape.labels, h, 4.0)
    return made


def config(shape: Shape) -> dict[str, object]:
    """config.json as transformers writes it, as far as it matters."""
    bert = shape.family == "bert"
    return {
        "architectures": [_ARCHITECTURES[shape.family]],
        "model_type": shape.family,
        "hidden_size": shape.hidden,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "intermediate_size": shape.intermediate,
        "vocab_size": shape.vocab,
        "max_position_embeddings": shape.positions,
        "type_vocab_size": 2 if bert else 1,
        "layer_norm_eps": 1e-12 if bert else 1e-5,
        "hidden_act": "gelu",
        "pad_token_id": 0 if bert else 1,
        "bos_token_id": 0,
        "eos_token_id": 2,
        "id2label": {str(i): f"LABEL_{i}" for i in range(shape.labels)},
        "label2id": {f"LABEL_{i}": i for i in range(shape.labels)},
    }


def tokenizer_config_of(shape: Shape) -> dict[str, object]:
    """tokenizer_config.json: the special tokens and the model's window."""
    bert = shape.family == "bert"
    tokens = (
        {"cls": "[CLS]", "sep": "[SEP]", "pad": "[PAD]", "unk": "[UNK]", "mask": "[MASK]"}
        if bert
        else {"cls": "<s>", "sep": "</s>", "pad": "<pad>", "unk": "<unk>", "mask": "<mask>"}
    )
    return tokenizer_config(tokens, window=shape.positions - (0 if bert else 2), types=bert)


def write(folder: Path, shape: Shape, made: Tensors | None = None) -> Path:
    """Write the files of a checkpoint; `made` replaces the tensors of the shape."""
    return write_folder(
        folder,
        config=config(shape),
        tokenizer_config=tokenizer_config_of(shape),
        tokenizer=tokenizer_of(shape.family),
        tensors=tensors(shape) if made is None else made,
    )


def tokenizer_of(family: str) -> str:
    """tokenizer.json: RoBERTa's byte-level BPE is ModernBERT's, with other special tokens."""
    if family == "roberta":
        template = "<s> $A </s> </s> $B </s>"
        return relabelled(tokenizer_file("modernbert"), ROBERTA_SPECIALS, template)
    return tokenizer_file(family).read_text(encoding="utf-8")
