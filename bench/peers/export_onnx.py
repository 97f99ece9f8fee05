"""Write FOLDER/onnx/model.onnx by optimum, as sentence-transformers would: `FOLDER`, in st-onnx."""

from __future__ import annotations

import importlib
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

folder = Path(sys.argv[1])
library: Any = importlib.import_module("optimum.onnxruntime")
model = library.ORTModelForSequenceClassification.from_pretrained(folder, export=True)
(folder / "onnx").mkdir(exist_ok=True)
with tempfile.TemporaryDirectory() as made:
    model.save_pretrained(made)
    shutil.copyfile(Path(made) / "model.onnx", folder / "onnx" / "model.onnx")
