"""Folders of embedding models, made-up weights, as sentence-transformers saves them.

`Shape` is one folder: the encoder's shape of `body.py`, and the modules behind it.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from safetensors.numpy import save_file  # pyright: ignore[reportUnknownVariableType] - PathLike

from tests.checkpoints import bert, body, modernbert
from tests.checkpoints.made import Tensors, uniform

_PACKAGE = "sentence_transformers.models"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """One folder."""

    body: body.Shape
    pooling: dict[str, object]  # config.json of 1_Pooling
    pools: int = 1  # vectors that it puts behind one another
    dense: tuple[int, ...] = ()  # values behind each Dense
    is_unit: bool = True
    said: dict[str, object] = field(default_factory=dict[str, object])
    sentence: dict[str, object] = field(default_factory=dict[str, object])


_OLD_MEAN: dict[str, object] = {
    "pooling_mode_cls_token": False,
    "pooling_mode_mean_tokens": True,
    "pooling_mode_max_tokens": False,
    "pooling_mode_mean_sqrt_len_tokens": False,
}
MINILM = Shape(  # as all-MiniLM-L6-v2: an older Pooling, a short window, no prompts
    body=body.TINY_BERT,
    pooling=_OLD_MEAN,
    sentence={"max_seq_length": 48, "do_lower_case": False},
)
E5 = Shape(  # as multilingual-e5, with prompts that a folder may have and a default
    body=body.TINY_XLMR,
    pooling={"pooling_mode": "mean"},
    said={
        "prompts": {"query": "query: ", "passage": "passage: ", "clustering": "topic: "},
        "default_prompt_name": "passage",
        "similarity_fn_name": "cosine",
    },
    sentence={"max_seq_length": 128, "do_lower_case": False},
)
BGE = Shape(  # the first token, a RoBERTa, no Normalize
    body=bert.TINY_ROBERTA,
    pooling={"pooling_mode": "cls"},
    is_unit=False,
    said={"prompts": {"query": "Represent this: ", "document": ""}},
)
LABSE = Shape(  # the first token, Dense with tanh, two of them
    body=body.TINY_BERT,
    pooling={"pooling_mode": ["cls", "max"]},
    pools=2,
    dense=(24, 12),
    said={"model_type": "SentenceTransformer"},
)
MODERN = Shape(  # the last token of a ModernBERT
    body=body.TINY_MODERNBERT,
    pooling={"pooling_mode": "lasttoken"},
    said={"prompts": {"query": "search_query: ", "document": "search_document: "}},
    sentence={"max_seq_length": 200},
)
TRUE_WIDTH = {  # with few layers
    "minilm": Shape(body=bert.MINILM_L6, pooling=_OLD_MEAN),
    "modernbert": Shape(body=modernbert.TRUE_WIDTH, pooling={"pooling_mode": "cls"}),
}
GOLDEN_SHAPES = {
    "bert-mean": MINILM,
    "xlm-roberta-prompts": E5,
    "roberta-cls-raw": BGE,
    "bert-cls-max-dense": LABSE,
    "modernbert-last": MODERN,
}


def write(folder: Path, shape: Shape, **change: object) -> Path:
    """Write the files of a folder; `change` replaces config_sentence_transformers.json's fields."""
    body.write(folder, shape.body)
    _json(folder / "config_sentence_transformers.json", {**shape.said, **change})
    _json(folder / "sentence_bert_config.json", shape.sentence)
    listed = [("", "Transformer"), ("1_Pooling", "Pooling")]
    width = shape.body.hidden
    name = "embedding_dimension" if "pooling_mode" in shape.pooling else "word_embedding_dimension"
    _json(folder / "1_Pooling" / "config.json", {name: width, **shape.pooling})
    width *= shape.pools
    for outputs in shape.dense:
        listed.append((f"{len(listed)}_Dense", "Dense"))
        _dense(folder / listed[-1][0], width, outputs)
        width = outputs
    if shape.is_unit:
        listed.append((f"{len(listed)}_Normalize", "Normalize"))
        (folder / listed[-1][0]).mkdir(exist_ok=True)
    entries = [
        {"idx": i, "name": str(i), "path": path, "type": f"{_PACKAGE}.{kind}"}
        for i, (path, kind) in enumerate(listed)
    ]
    _json(folder / "modules.json", entries)
    return folder


def _dense(folder: Path, inputs: int, outputs: int) -> None:
    fields: dict[str, object] = {
        "in_features": inputs,
        "out_features": outputs,
        "bias": True,
        "activation_function": "torch.nn.modules.activation.Tanh",
    }
    _json(folder / "config.json", fields)
    gain, name = 1 / math.sqrt(inputs), folder.name
    made: Tensors = {
        "linear.weight": uniform(name, (outputs, inputs), gain),
        "linear.bias": uniform(f"{name}.bias", (outputs,), 0.1),
    }
    save_file(cast("Any", made), folder / "model.safetensors", metadata={"format": "pt"})


def _json(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=1), encoding="utf-8")
