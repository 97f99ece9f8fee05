"""sentence-transformers' CrossEncoder with its defaults: `FOLDER torch|onnx|openvino`.

fp32 is forced on OpenVINO, whose own default is bfloat16 on CPUs that have it.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from typing import Any

import worker


def load() -> worker.Score:
    """The model; exports it first where the backend needs that."""
    folder, backend = sys.argv[1:]
    torch: Any = importlib.import_module("torch")
    torch.set_num_threads(worker.cores())
    library: Any = importlib.import_module("sentence_transformers")
    options: dict[str, Any] = {}
    if backend == "openvino":
        options["model_kwargs"] = {"ov_config": {"INFERENCE_PRECISION_HINT": "f32"}}
    model = library.CrossEncoder(folder, device="cpu", backend=backend, **options)

    def score(query: str, documents: Sequence[str]) -> Sequence[float]:
        pairs = [(query, document) for document in documents]
        return model.predict(
            pairs, activation_fn=torch.nn.Identity(), show_progress_bar=False
        ).tolist()

    return score


worker.run(load)
