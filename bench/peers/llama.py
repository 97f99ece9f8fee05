"""llama.cpp by llama-cpp-python, in an environment of its own; see decoders.py."""

from __future__ import annotations

import importlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
from made_decoder import EPS, HEAD_DIM, NO, THETA, VOCAB, YES, bf16, shapes, tensor

SEQUENCES = 11  # of 180 tokens in a batch of 2048


class Llama:
    """llama.cpp, every row whole in a sequence of its own; the last token's logits alone."""

    def __init__(self, folder: Path, precision: str) -> None:
        self._lib: Any = importlib.import_module("llama_cpp")
        file = folder / f"{precision}.gguf"
        if not file.exists():
            write_gguf(folder, file, precision)
        lib = self._lib
        lib.llama_backend_init()
        self._model = lib.llama_model_load_from_file(
            str(file).encode(), lib.llama_model_default_params()
        )
        options = lib.llama_context_default_params()
        options.n_ctx, options.n_batch, options.n_ubatch = 4096, 2048, 512
        options.n_seq_max = SEQUENCES
        options.n_threads = options.n_threads_batch = len(os.sched_getaffinity(0))
        self._context = lib.llama_init_from_model(self._model, options)
        self._batch = lib.llama_batch_init(2048, 0, 1)

    def __call__(self, rows: list[list[int]]) -> list[float]:
        """Logits."""
        found: list[float] = []
        for start in range(0, len(rows), SEQUENCES):
            found += self._some(rows[start : start + SEQUENCES])
        return found

    def _some(self, rows: list[list[int]]) -> list[float]:
        lib, batch = self._lib, self._batch
        lib.llama_memory_clear(lib.llama_get_memory(self._context), True)
        at = 0
        last: list[int] = []
        for sequence, ids in enumerate(rows):
            for place, token in enumerate(ids):
                batch.token[at], batch.pos[at] = token, place
                batch.n_seq_id[at], batch.seq_id[at][0] = 1, sequence
                batch.logits[at] = place == len(ids) - 1
                at += 1
            last.append(at - 1)
        batch.n_tokens = at
        if lib.llama_decode(self._context, batch) != 0:
            raise RuntimeError("llama_decode failed")
        logits = [lib.llama_get_logits_ith(self._context, place) for place in last]
        return [each[YES] - each[NO] for each in logits]


_GGUF = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def write_gguf(folder: Path, file: Path, precision: str) -> None:
    """The checkpoint as llama.cpp reads it, without a tokenizer."""
    lib: Any = importlib.import_module("gguf")
    made = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    writer = lib.GGUFWriter(file, "qwen3")
    writer.add_block_count(made["num_hidden_layers"])
    writer.add_context_length(40960)
    writer.add_embedding_length(made["hidden_size"])
    writer.add_feed_forward_length(made["intermediate_size"])
    writer.add_head_count(made["num_attention_heads"])
    writer.add_head_count_kv(made["num_key_value_heads"])
    writer.add_key_length(HEAD_DIM)
    writer.add_value_length(HEAD_DIM)
    writer.add_layer_norm_rms_eps(EPS)
    writer.add_rope_freq_base(THETA)
    writer.add_vocab_size(VOCAB)
    writer.add_tokenizer_model("none")
    kind = lib.GGMLQuantizationType.BF16 if precision == "bf16" else lib.GGMLQuantizationType.Q8_0
    for name, shape in shapes(made).items():
        stem = name.removesuffix(".weight")
        if stem.startswith("layers."):
            _, layer, part = stem.split(".", 2)
            known = f"blk.{layer}.{_GGUF[part]}.weight"
        else:
            known = {"embed_tokens": "token_embd.weight", "norm": "output_norm.weight"}[stem]
        rounded = bf16(tensor(name, shape, made["hidden_size"]))
        values = (rounded.astype(np.uint32) << 16).view(np.float32)
        if len(shape) == 1:
            writer.add_tensor(known, values)
        else:
            writer.add_tensor(known, lib.quants.quantize(values, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
