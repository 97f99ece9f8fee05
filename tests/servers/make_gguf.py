"""A BERT reranker's folder as GGUF, which llama.cpp's server reads.

    python make_gguf.py FOLDER OUT.gguf

Needs the packages gguf and numpy alone. llama.cpp has no place for BERT's pooler at this head: the
classifier reads the first token's state, as its own converter writes it, so scores are not those
of the folder.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import gguf
import numpy as np

_CONTROL = ("[PAD]", "[CLS]", "[SEP]", "[MASK]")
_NAMES = {
    "bert.embeddings.word_embeddings": "token_embd",
    "bert.embeddings.token_type_embeddings": "token_types",
    "bert.embeddings.position_embeddings": "position_embd",
    "bert.embeddings.LayerNorm": "token_embd_norm",
    "classifier": "cls.output",
}
_BLOCK = {
    "attention.self.query": "attn_q",
    "attention.self.key": "attn_k",
    "attention.self.value": "attn_v",
    "attention.output.dense": "attn_output",
    "attention.output.LayerNorm": "attn_output_norm",
    "intermediate.dense": "ffn_up",
    "output.dense": "ffn_down",
    "output.LayerNorm": "layer_output_norm",
}


def read_safetensors(path: Path) -> dict[str, Any]:
    """Name -> float32 array; the file holds nothing else."""
    raw = path.read_bytes()
    size = int.from_bytes(raw[:8], "little")
    header: dict[str, Any] = json.loads(raw[8 : 8 + size])
    header.pop("__metadata__", None)
    return {
        name: np.frombuffer(
            raw[8 + size + entry["data_offsets"][0] : 8 + size + entry["data_offsets"][1]], "<f4"
        ).reshape(entry["shape"])
        for name, entry in header.items()
    }


def gguf_name(name: str) -> str:
    """`bert.encoder.layer.0.output.dense.weight` -> `blk.0.ffn_down.weight`."""
    base, _, kind = name.rpartition(".")
    if base.startswith("bert.encoder.layer."):
        layer, _, part = base.removeprefix("bert.encoder.layer.").partition(".")
        return f"blk.{layer}.{_BLOCK[part]}.{kind}"
    return f"{_NAMES[base]}.{kind}"


def main(folder: Path, out: Path) -> None:
    """Write it."""
    config = json.loads((folder / "config.json").read_text())
    vocabulary: dict[str, int] = json.loads((folder / "tokenizer.json").read_text())["model"][
        "vocab"
    ]
    tokens = sorted(vocabulary, key=vocabulary.__getitem__)
    writer = gguf.GGUFWriter(str(out), "bert")
    writer.add_name(folder.name)
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_layer_norm_eps(config["layer_norm_eps"])
    writer.add_causal_attention(False)
    writer.add_pooling_type(gguf.PoolingType.RANK)
    writer.add_tokenizer_model("bert")
    writer.add_token_type_count(2)
    writer.add_token_list([_phantom_space(token) for token in tokens])
    writer.add_token_types(
        [gguf.TokenType.CONTROL if token in _CONTROL else gguf.TokenType.NORMAL for token in tokens]
    )
    for role in ("pad", "unk", "sep", "mask"):
        getattr(writer, f"add_{role}_token_id")(vocabulary[f"[{role.upper()}]"])
    writer.add_bos_token_id(vocabulary["[CLS]"])
    writer.add_eos_token_id(vocabulary["[SEP]"])
    for name, values in read_safetensors(folder / "model.safetensors").items():
        if not name.startswith("bert.pooler"):
            writer.add_tensor(gguf_name(name), values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _phantom_space(token: str) -> str:
    """WordPiece's continuation without its marks, a word's start with SentencePiece's."""
    if token.startswith("[") and token.endswith("]"):
        return token
    return token[2:] if token.startswith("##") else f"\u2581{token}"


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
