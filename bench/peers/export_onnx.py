"""Write FOLDER/onnx as sentence-transformers would: `FOLDER`, in st-onnx.

model.onnx by optimum, and model_qint8_avx512_vnni.onnx by sentence-transformers' own dynamic
quantisation for processors with VNNI.
"""

from __future__ import annotations

import importlib
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

folder = Path(sys.argv[1])
optimum: Any = importlib.import_module("optimum.onnxruntime")
model = optimum.ORTModelForSequenceClassification.from_pretrained(folder, export=True)
(folder / "onnx").mkdir(exist_ok=True)
with tempfile.TemporaryDirectory() as made:
    model.save_pretrained(made)
    shutil.copyfile(Path(made) / "model.onnx", folder / "onnx" / "model.onnx")
library: Any = importlib.import_module("sentence_transformers")
encoder = library.CrossEncoder(
    str(folder), backend="onnx", device="cpu", model_kwargs={"file_name": "model.onnx"}
)
library.export_dynamic_quantized_onnx_model(encoder, "avx512_vnni", str(folder))
