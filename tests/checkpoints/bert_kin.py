"""ELECTRA, DistilBERT and CamemBERT checkpoints with made-up weights: BERT's layers, renamed."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path

from tests.checkpoints import bert
from tests.checkpoints.made import Tensors, uniform, write_folder


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """A BERT or RoBERTa that lends its layers, and what it is called."""

    kind: str  # "electra", "distilbert" or "camembert"
    body: bert.Shape
    embedding: int | None = None  # values of a word's vector; None = the hidden size


_BERT = dataclasses.replace(bert.TINY_BERT, positions=512)
_CAMEMBERT = dataclasses.replace(bert.TINY_XLMR, positions=514)
GOLDEN_SHAPES = {
    "tiny-electra": Shape(kind="electra", body=_BERT),
    "tiny-electra-narrow": Shape(
        kind="electra", body=dataclasses.replace(_BERT, labels=2), embedding=24
    ),
    "tiny-distilbert": Shape(kind="distilbert", body=_BERT),
    "tiny-camembert": Shape(kind="camembert", body=_CAMEMBERT),
}
_ARCHITECTURES = {
    "electra": "ElectraForSequenceClassification",
    "distilbert": "DistilBertForSequenceClassification",
    "camembert": "CamembertForSequenceClassification",
}
_DISTILBERT = {
    "encoder.layer": "transformer.layer",
    "attention.self.query": "attention.q_lin",
    "attention.self.key": "attention.k_lin",
    "attention.self.value": "attention.v_lin",
    "attention.output.dense": "attention.out_lin",
    "attention.output.LayerNorm": "sa_layer_norm",
    "intermediate.dense": "ffn.lin1",
    "output.dense": "ffn.lin2",
    "output.LayerNorm": "output_layer_norm",
}


def _renamed(name: str) -> str:
    for ours, theirs in _DISTILBERT.items():
        name = name.replace(ours, theirs)
    return name


def tensors(shape: Shape) -> Tensors:
    """All tensors under the names that transformers gives them."""
    made, h = bert.tensors(shape.body), shape.body.hidden
    if shape.kind == "camembert":
        return made
    head = "classifier.dense" if shape.kind == "electra" else "pre_classifier"
    last = "classifier.out_proj" if shape.kind == "electra" else "classifier"
    found = Tensors()
    for name, tensor in made.items():
        if name.startswith("classifier."):
            own = name.replace("classifier.", f"{last}.")
        elif name.startswith("bert.pooler.dense."):
            own = name.replace("bert.pooler.dense", head)
        else:
            own = name.replace("bert.", f"{shape.kind}.", 1)
        found[own if shape.kind == "electra" else _renamed(own)] = tensor
    if shape.kind == "distilbert":
        del found["distilbert.embeddings.token_type_embeddings.weight"]
    if shape.embedding is not None:
        e = shape.embedding
        for name in [name for name in found if ".embeddings." in name]:
            found[name] = found[name][..., :e].copy()
        project = "electra.embeddings_project"
        found[f"{project}.weight"] = uniform(project, (h, e), 1.0 / math.sqrt(e))
        found[f"{project}.bias"] = uniform(f"{project}.bias", (h,), 0.1)
    return found


def config(shape: Shape) -> dict[str, object]:
    """config.json, as far as it matters."""
    body = shape.body
    said = bert.config(body) | {
        "architectures": [_ARCHITECTURES[shape.kind]],
        "model_type": shape.kind,
    }
    if shape.kind == "electra":
        return said | {"embedding_size": shape.embedding or body.hidden}
    if shape.kind == "camembert":
        return said
    renamed = {
        "dim": body.hidden,
        "n_layers": body.layers,
        "n_heads": body.heads,
        "hidden_dim": body.intermediate,
        "activation": "gelu",
        "sinusoidal_pos_embds": False,
    }
    kept = ("architectures", "model_type", "vocab_size", "max_position_embeddings", "pad_token_id")
    return {key: said[key] for key in (*kept, "id2label", "label2id")} | renamed


def write(folder: Path, shape: Shape, **change: object) -> Path:
    """Write the files of a checkpoint; `change` replaces fields of config.json."""
    own = bert.tokenizer_config_of(shape.body)
    if shape.kind == "distilbert":
        own |= {"model_input_names": ["input_ids", "attention_mask"]}
    return write_folder(
        folder,
        config=config(shape) | change,
        tokenizer_config=own,
        tokenizer=bert.tokenizer_of(shape.body.family),
        tensors=tensors(shape),
    )
