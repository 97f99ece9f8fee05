"""ColBERT folders with made-up weights, in the forms of PyLate, Stanford and sentence-transformers.

`Shape` is one folder: the encoder's shape of `body.py`, and what the form says beside it.
"""

from __future__ import annotations

import dataclasses
import json
import math
import string
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
from safetensors.numpy import save_file  # pyright: ignore[reportUnknownVariableType] - PathLike

from tests.checkpoints import bert, body, modernbert
from tests.checkpoints.made import VOCAB, Tensors, uniform, write_folder

_ACTIVATIONS = {
    "identity": "torch.nn.modules.linear.Identity",
    "gelu": "torch.nn.modules.activation.GELU",
    "tanh": "torch.nn.modules.activation.Tanh",
}
_TABLES = ("embeddings.tok_embeddings.weight", "embeddings.word_embeddings.weight")


@dataclass(frozen=True, slots=True)
class Layer:
    """One Dense module."""

    outputs: int
    activation: str = "identity"
    bias: bool = False
    residual: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """One folder."""

    form: Literal["pylate", "stanford", "multi-vector"]
    body: body.Shape
    markers: tuple[str, ...] = ()  # tokens, those that the tokenizer lacks are added to it
    layers: tuple[Layer, ...] = ()
    said: dict[str, object] = field(default_factory=dict[str, object])  # of the form's own file
    sentence: dict[str, object] = field(default_factory=dict[str, object])  # of the transformer's
    mask: dict[str, object] = field(default_factory=dict[str, object])  # of MultiVectorMask


_PREFIXES = {"query_prefix": "[Q] ", "document_prefix": "[D] "}
_UNUSED = ("[unused0]", "[unused1]")
PYLATE = Shape(  # as LateOn: no expansion, heads with residuals
    form="pylate",
    body=body.TINY_MODERNBERT,
    markers=("[Q] ", "[D] "),
    layers=(Layer(64, residual=True), Layer(64, residual=True), Layer(16, residual=True)),
    said={
        **_PREFIXES,
        "model_type": "ColBERT",
        "query_length": 24,
        "document_length": 60,
        "do_query_expansion": False,
        "attend_to_expansion_tokens": False,
        "skiplist_words": list(string.punctuation),
        "similarity_fn_name": "MaxSim",
        "prompts": {"query": "", "document": ""},
    },
)
ATTENDED = Shape(  # expansion that is attended to; what is not said has PyLate's defaults
    form="pylate",
    body=body.TINY_BERT,
    markers=("[Q] ", "[D] "),
    layers=(Layer(24, activation="gelu", bias=True), Layer(16)),
    said={
        **_PREFIXES,
        "document_length": 100,
        "attend_to_expansion_tokens": True,
        "skiplist_words": [".", ",", "the"],
    },
)
XLMR = Shape(  # expansion that is not
    form="pylate",
    body=body.TINY_XLMR,
    markers=("[Q] ", "[D] "),
    layers=(Layer(16),),
    said={**_PREFIXES, "model_type": "ColBERT", "query_length": 20, "document_length": 50},
)
STANFORD = Shape(  # as colbertv2.0
    form="stanford",
    body=body.TINY_BERT,
    markers=_UNUSED,
    said={
        "query_token_id": "[unused0]",
        "doc_token_id": "[unused1]",
        "query_token": "[Q]",
        "doc_token": "[D]",
        "query_maxlen": 28,
        "doc_maxlen": 70,
        "dim": 16,
        "mask_punctuation": True,
        "attend_to_mask_tokens": False,
        "similarity": "cosine",
        "interaction": "colbert",
    },
)
MULTI_VECTOR = Shape(  # sentence-transformers' own form, with prompts of several tokens
    form="multi-vector",
    body=body.TINY_BERT,
    layers=(Layer(16, activation="tanh", bias=True),),
    said={
        "model_type": "MultiVectorEncoder",
        "prompts": {"query": "a question: ", "document": "a text: "},
        "default_prompt_name": None,
        "similarity_fn_name": "maxsim",
    },
    sentence={
        "query_length": 40,
        "document_length": 64,
        "query_expansion": {"strategy": "min", "attend": False, "length": 20},
    },
    mask={"skiplist_words": [".", ",", "a"], "skiplist_tasks": ["query", "document"]},
)
_LATEON_HEADS = (Layer(1536, residual=True), Layer(768, residual=True), Layer(128, residual=True))
_LATEON_SAID = {**PYLATE.said, "query_length": 32, "document_length": 300}
LATEON = Shape(  # its body with a small vocabulary; how its heads are sized is not known here
    form="pylate",
    body=dataclasses.replace(
        modernbert.TRUE_WIDTH, is_global=tuple(layer % 3 == 0 for layer in range(22))
    ),
    markers=PYLATE.markers,
    layers=_LATEON_HEADS,
    said=_LATEON_SAID,
)
TRUE_WIDTH = {  # with few layers
    "lateon": dataclasses.replace(LATEON, body=modernbert.TRUE_WIDTH),
    "colbertv2": dataclasses.replace(
        STANFORD, body=dataclasses.replace(bert.MINILM_L6, hidden=768, layers=3, intermediate=3072)
    ),
}
GOLDEN_SHAPES = {
    "pylate-modernbert": PYLATE,
    "pylate-bert-attended": ATTENDED,
    "pylate-xlmr": XLMR,
    "stanford-bert": STANFORD,
    "multi-vector-bert": MULTI_VECTOR,
}


def write(folder: Path, shape: Shape, **change: object) -> Path:
    """Write the files of a folder; `change` replaces fields of the form's own file."""
    own, tokenizer = body.files_of(shape.body)
    tokens, vocab = _with_markers(tokenizer, shape.markers)
    is_stanford = shape.form == "stanford"
    made = body.tensors(shape.body, is_prefixed=is_stanford)
    for table in _TABLES:
        name = f"bert.{table}" if is_stanford else table
        if name in made:
            rows = uniform("markers", (vocab - VOCAB, made[name].shape[1]), 1.0)
            made[name] = np.concatenate([made[name], rows])
    architecture = {"architectures": ["HF_ColBERT"]} if is_stanford else {}
    if is_stanford:
        hidden = shape.body.hidden
        made["linear.weight"] = uniform("linear", (16, hidden), 1 / math.sqrt(hidden))
    write_folder(
        folder,
        config=body.config(shape.body) | {"vocab_size": vocab} | architecture,
        tokenizer_config=own,
        tokenizer=tokens,
        tensors=made,
    )
    said = {name: each for name, each in {**shape.said, **change}.items() if each is not ...}
    name = "artifact.metadata" if is_stanford else "config_sentence_transformers.json"
    _json(folder / name, said)
    if not is_stanford:
        _modules(folder, shape)
    return folder


def _modules(folder: Path, shape: Shape) -> None:
    """modules.json, and a folder for each of them."""
    is_own = shape.form == "multi-vector"
    dense = (
        "sentence_transformers.base.modules.dense.Dense" if is_own else "pylate.models.Dense.Dense"
    )
    listed = [("", "sentence_transformers.models.Transformer")]
    width = shape.body.hidden
    for i, layer in enumerate(shape.layers, start=1):
        path = f"{i}_Dense"
        listed.append((path, dense))
        _dense(folder / path, layer, width, reads="token_embeddings" if is_own else None)
        width = layer.outputs
    if is_own:
        package = "sentence_transformers.multi_vector_encoder.modules"
        listed += [(f"{len(listed)}_MultiVectorMask", f"{package}.MultiVectorMask")]
        _json(folder / listed[-1][0] / "config.json", shape.mask)
        listed += [(f"{len(listed)}_Normalize", "sentence_transformers.base.modules.Normalize")]
        names = dict.fromkeys(("module_input_name", "module_output_name"), "token_embeddings")
        _json(folder / listed[-1][0] / "config.json", names)
        more: dict[str, object] = {
            "transformer_task": "feature-extraction",
            "modality_config": {
                "text": {"method": "forward", "method_output_name": "last_hidden_state"}
            },
            "module_output_name": "token_embeddings",
        }
        _json(folder / "sentence_bert_config.json", more | shape.sentence)
    else:
        _json(folder / "sentence_bert_config.json", {"max_seq_length": 23, "do_lower_case": False})
    entries = [
        {"idx": i, "name": str(i), "path": path, "type": kind}
        for i, (path, kind) in enumerate(listed)
    ]
    _json(folder / "modules.json", entries)


def _dense(folder: Path, layer: Layer, inputs: int, *, reads: str | None) -> None:
    fields: dict[str, object] = {
        "in_features": inputs,
        "out_features": layer.outputs,
        "bias": layer.bias,
        "activation_function": _ACTIVATIONS[layer.activation],
    }
    fields |= {"use_residual": layer.residual} if reads is None or layer.residual else {}
    fields |= {} if reads is None else {"module_input_name": reads, "module_output_name": reads}
    _json(folder / "config.json", fields)
    gain, name = 1 / math.sqrt(inputs), folder.name
    made: Tensors = {"linear.weight": uniform(name, (layer.outputs, inputs), gain)}
    if layer.bias:
        made["linear.bias"] = uniform(f"{name}.bias", (layer.outputs,), 0.1)
    if layer.residual and inputs != layer.outputs:
        made["residual.weight"] = uniform(f"{name}.residual", (layer.outputs, inputs), gain)
    save_file(made, folder / "model.safetensors")


def _with_markers(tokenizer: str, markers: tuple[str, ...]) -> tuple[str, int]:
    """A tokenizer.json with tokens more: [unused0] as words of the vocabulary, others added."""
    raw: dict[str, Any] = json.loads(tokenizer)
    for i, marker in enumerate(markers):
        if marker in _UNUSED:
            cast("dict[str, int]", raw["model"]["vocab"])[marker] = VOCAB + i
        else:
            flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "special"), False)
            raw["added_tokens"].append(
                {"id": VOCAB + i, "content": marker, "normalized": True, **flags}
            )
    return json.dumps(raw), VOCAB + len(markers)


def _json(path: Path, data: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data, indent=1), encoding="utf-8")
