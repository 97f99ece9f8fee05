"""sentence-transformers' CrossEncoder: `FOLDER torch|onnx|openvino fp32|bf16|int8`.

fp32 has its defaults on torch and ONNX and is forced on OpenVINO, whose own default, bf16 here, is
bfloat16 on CPUs that have it. int8 is the ONNX file that bench/peers/export_onnx.py made with
sentence-transformers' own dynamic quantisation.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import worker

INT8_FILE = "model_qint8_avx512_vnni.onnx"
OPTIONS: Mapping[tuple[str, str], Mapping[str, Any]] = {
    ("torch", "fp32"): {},
    ("onnx", "fp32"): {"model_kwargs": {"file_name": "model.onnx"}},
    ("onnx", "int8"): {"model_kwargs": {"file_name": INT8_FILE}},
    ("openvino", "fp32"): {"model_kwargs": {"ov_config": {"INFERENCE_PRECISION_HINT": "f32"}}},
    ("openvino", "bf16"): {},
}


def load() -> worker.Score:
    """The model; exports it first where the backend needs that."""
    folder, backend, precision = sys.argv[1:]
    torch: Any = importlib.import_module("torch")
    torch.set_num_threads(worker.cores())
    library: Any = importlib.import_module("sentence_transformers")
    model = library.CrossEncoder(
        folder, device="cpu", backend=backend, **OPTIONS[backend, precision]
    )

    def score(query: str, documents: Sequence[str]) -> Sequence[float]:
        pairs = [(query, document) for document in documents]
        return model.predict(
            pairs, activation_fn=torch.nn.Identity(), show_progress_bar=False
        ).tolist()

    return score


worker.run(load)
