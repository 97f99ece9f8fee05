"""llama.cpp's HTTP server from the wheel xllamacpp: MODEL.gguf PORT NAME KEY."""

from __future__ import annotations

import signal
import sys

import xllamacpp


def main(path: str, port: str, name: str, key: str) -> None:
    """Serve until a signal comes, as `llama-server --rerank` does by default: four slots."""
    params = xllamacpp.CommonParams()
    params.model.path = path
    params.model_alias = {name}
    params.hostnames, params.port, params.api_keys = ["127.0.0.1"], int(port), [key]
    params.embedding = True
    params.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_RANK
    params.n_parallel, params.n_ctx, params.n_batch, params.n_ubatch = 4, 4 * 512, 512, 512
    server = xllamacpp.Server(params)
    print(server.listening_address, flush=True)
    signal.sigwait({signal.SIGTERM, signal.SIGINT})


if __name__ == "__main__":
    main(*sys.argv[1:5])
