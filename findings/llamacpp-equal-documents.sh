#!/bin/sh
# llama.cpp's server, in package xllamacpp 2026.10.11549: one document that is listed five times in a rerank request
# gets several scores.
#
# The good guess: a cross-encoder's score depends on the query and the document alone, so five equal documents tie.
# What is seen: with one slot they do; with four slots (the server's usual number) the rows that share a batch have
# other scores than those alone (5e-3 of a logit on this made-up model), so equal documents are apart and the order of
# near ones depends on what else was asked.
#
# Makes a folder, installs there, writes a small BERT with made-up weights as GGUF, asks on loopback. Exit 0: as above.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install -q xllamacpp==2026.10.11549 gguf==0.19.0 numpy==2.4.6

cat > model.py <<'PY'
import gguf
import numpy as np

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] + [f"\u2581w{i}" for i in range(500)]
WIDTH, INNER, LAYERS = 32, 64, 2
draw = np.random.Generator(np.random.PCG64(7))


def matrix(rows, columns, std):
    return (draw.standard_normal((rows, columns)) * std).astype(np.float32)


def vector(size, mean=0.0):
    return (mean + 0.1 * draw.standard_normal(size)).astype(np.float32)


out = gguf.GGUFWriter("model.gguf", "bert")
out.add_context_length(512)
out.add_embedding_length(WIDTH)
out.add_feed_forward_length(INNER)
out.add_block_count(LAYERS)
out.add_head_count(4)
out.add_layer_norm_eps(1e-12)
out.add_causal_attention(False)
out.add_pooling_type(gguf.PoolingType.RANK)
out.add_tokenizer_model("bert")
out.add_token_type_count(2)
out.add_token_list(WORDS)
out.add_token_types([gguf.TokenType.CONTROL if w[0] == "[" else gguf.TokenType.NORMAL for w in WORDS])
out.add_pad_token_id(0)
out.add_unk_token_id(1)
out.add_bos_token_id(2)
out.add_eos_token_id(3)
out.add_sep_token_id(3)
out.add_mask_token_id(4)
tensors = {
    "token_embd.weight": matrix(len(WORDS), WIDTH, 1.0),
    "token_types.weight": matrix(2, WIDTH, 0.5),
    "position_embd.weight": matrix(512, WIDTH, 0.3),
    "token_embd_norm.weight": vector(WIDTH, 1.0),
    "token_embd_norm.bias": vector(WIDTH),
    "cls.output.weight": matrix(1, WIDTH, 4.0 / WIDTH**0.5),
    "cls.output.bias": vector(1),
}
for i in range(LAYERS):
    for name, rows, columns, gain in (
        ("attn_q", WIDTH, WIDTH, 1.4), ("attn_k", WIDTH, WIDTH, 1.4), ("attn_v", WIDTH, WIDTH, 1.0),
        ("attn_output", WIDTH, WIDTH, 2.0), ("ffn_up", INNER, WIDTH, 1.0), ("ffn_down", WIDTH, INNER, 1.0),
    ):
        tensors[f"blk.{i}.{name}.weight"] = matrix(rows, columns, gain / columns**0.5)
        tensors[f"blk.{i}.{name}.bias"] = vector(rows)
    for name in ("attn_output_norm", "layer_output_norm"):
        tensors[f"blk.{i}.{name}.weight"] = vector(WIDTH, 1.0)
        tensors[f"blk.{i}.{name}.bias"] = vector(WIDTH)
for name, values in tensors.items():
    out.add_tensor(name, values)
out.write_header_to_file()
out.write_kv_data_to_file()
out.write_tensors_to_file()
out.close()
PY
cat > ask.py <<'PY'
import json
import os
import sys
import urllib.request

import xllamacpp

slots = int(sys.argv[1])
params = xllamacpp.CommonParams()
params.model.path, params.hostnames, params.port = "model.gguf", ["127.0.0.1"], 0
params.embedding = True
params.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_RANK
params.n_parallel, params.n_ctx, params.n_batch, params.n_ubatch = slots, 512 * slots, 512, 512
server = xllamacpp.Server(params)
body = {"query": "w1 w2 w3 w4", "documents": [" ".join(f"w{i}" for i in range(5, 40))] * 5}
asked = urllib.request.Request(
    f"{server.listening_address}/v1/rerank", json.dumps(body).encode(), {"content-type": "application/json"}
)
results = json.load(urllib.request.urlopen(asked))["results"]
scores = [hit["relevance_score"] for hit in results]
print(f"{slots} slots: {len(set(scores))} scores, {max(scores) - min(scores):.1e} apart", flush=True)
os._exit(0 if (len(set(scores)) > 1) == (slots > 1) else 1)
PY
env/bin/python model.py
env/bin/python ask.py 1 2> log || { tail log; exit 1; }
env/bin/python ask.py 4 2> log || { tail log; exit 1; }
