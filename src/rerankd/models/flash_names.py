"""The tensor names of jina's flash XLM-R, as those of the plain XLM-R that it is.

jina-reranker-v2 comes with code of its own for faster attention; what it computes is XLM-R. Only
names differ, and query, key and value are one tensor. The code itself is never run.
Source: jinaai/jina-reranker-v2-base-multilingual, modeling_xlm_roberta.py, block.py and mha.py
(`rearrange(qkv, "... (three h d) -> ... three h d")`: queries first, then keys, then values).
"""

from __future__ import annotations

import re
from typing import Final

_LAYER: Final = re.compile(r"encoder\.layers\.(\d+)\.(.+)\.(weight|bias)")
_PARTS: Final = {
    "mixer.Wqkv": tuple(f"attention.self.{part}" for part in ("query", "key", "value")),
    "mixer.out_proj": ("attention.output.dense",),
    "norm1": ("attention.output.LayerNorm",),
    "mlp.fc1": ("intermediate.dense",),
    "mlp.fc2": ("output.dense",),
    "norm2": ("output.LayerNorm",),
}


def plain_names(name: str) -> tuple[str, ...]:
    """The plain names of the parts of a tensor, along its first axis.

    Args:
        name: without the `roberta.` prefix.

    Returns:
        Three names for a fused Wqkv; else one, the same as `name` when it is no flash name.
    """
    if name.startswith("emb_ln."):
        return (name.replace("emb_ln.", "embeddings.LayerNorm.", 1),)
    found = _LAYER.fullmatch(name)
    if found is None or found[2] not in _PARTS:
        return (name,)
    return tuple(f"encoder.layer.{found[1]}.{part}.{found[3]}" for part in _PARTS[found[2]])
