"""Listwise checkpoints with made-up weights in the forms of jina-reranker-v3 and v3.5."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests.checkpoints import decoder
from tests.checkpoints.made import Tensors, tokenizer_config, tokenizer_file, uniform, write_folder

SPECIALS = ("<|score_token|>", "<|embed_token|>", "<|rerank_token|>")  # ids 2000 to 2002
VOCAB = 2016


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Sizes of a checkpoint; `window` = how many tokens its windowed layers see, as v3.5 has."""

    body: decoder.Shape
    dimensions: int = 512
    window: int | None = None
    max_length: int = 131072  # of tokenizer_config.json: what blocks are made by


def _body(**sizes: int) -> decoder.Shape:
    return decoder.Shape(family="qwen3", tied=True, positions=131072, **sizes)


TINY = Shape(
    body=_body(hidden=48, layers=3, heads=4, kv_heads=2, head_dim=32, intermediate=96),
    dimensions=32,
)
TINY_WINDOWED = Shape(
    body=_body(hidden=48, layers=5, heads=4, kv_heads=2, head_dim=32, intermediate=96),
    dimensions=32,
    window=40,
)
WIDE = Shape(  # jina-reranker-v3, with two of its 28 layers
    body=_body(hidden=1024, layers=2, heads=16, kv_heads=8, head_dim=128, intermediate=3072)
)
GOLDEN_SHAPES = {
    "v3": TINY,
    "v3.5": TINY_WINDOWED,
    "v3-narrow": replace(TINY, max_length=6000),  # blocks by tokens, not by documents
    "v3.5-narrow": replace(TINY_WINDOWED, max_length=12_000),
}


def tensors(shape: Shape) -> Tensors:
    """All tensors under the names that the model's own code gives them."""
    h, inner = shape.body.hidden, shape.body.hidden // 2
    made = decoder.tensors(shape.body)
    made["model.embed_tokens.weight"] = uniform("embed_tokens", (VOCAB, h), 2.0 / math.sqrt(h))
    made["projector.0.weight"] = uniform("projector.0", (inner, h), 1.0 / math.sqrt(h))
    made["projector.2.weight"] = uniform(
        "projector.2", (shape.dimensions, inner), 1.0 / math.sqrt(inner)
    )
    return made


def layer_types(shape: Shape) -> list[str]:
    """Three layers with a window, then two without."""
    return [
        "sliding_attention" if layer % 5 < 3 else "full_attention"
        for layer in range(shape.body.layers)
    ]


def config(shape: Shape) -> dict[str, object]:
    """config.json."""
    windowed = {
        "use_sliding_window": True,
        "sliding_window": shape.window,
        "max_window_layers": shape.body.layers,
        "layer_types": layer_types(shape),
    }
    return {
        **decoder.config(shape.body),
        "architectures": ["JinaForRanking"],
        "auto_map": {"AutoModel": "modeling.JinaForRanking"},
        "vocab_size": VOCAB,
        **(windowed if shape.window is not None else {}),
    }


def tokenizer() -> str:
    """Qwen's small one with the three tokens of the prompt."""
    raw: dict[str, Any] = json.loads(tokenizer_file("qwen").read_text(encoding="utf-8"))
    like = raw["added_tokens"][0]
    raw["added_tokens"] += [
        {**like, "id": decoder.VOCAB + i, "content": content} for i, content in enumerate(SPECIALS)
    ]
    return json.dumps(raw, ensure_ascii=False)


def write(folder: Path, shape: Shape) -> Path:
    """Write a checkpoint."""
    tokens = {"eos": "<|im_end|>", "pad": "<|endoftext|>"}
    return write_folder(
        folder,
        config=config(shape),
        tokenizer_config=tokenizer_config(
            tokens, window=shape.max_length, clean_up_tokenization_spaces=False
        ),
        tokenizer=tokenizer(),
        tensors=tensors(shape),
    )
