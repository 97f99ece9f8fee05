"""An XLM-R under jina-reranker-v2's names, with made-up weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from tests.checkpoints import bert
from tests.checkpoints.made import Tensors


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


def write(folder: Path, made: Tensors | None = None, shape: bert.Shape = bert.TINY_XLMR) -> Path:
    """An XLM-R as jina-reranker-v2 is published: its names, no model_type, remote code."""
    jina = as_jina(bert.tensors(shape)) if made is None else made
    bert.write(folder, shape, jina)
    path = folder / "config.json"
    fields: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    del fields["model_type"]
    remote = "modeling_xlm_roberta.XLMRobertaForSequenceClassification"
    fields |= {"auto_map": {"AutoModelForSequenceClassification": remote}, "use_flash_attn": True}
    path.write_text(json.dumps(fields), encoding="utf-8")
    return folder
