"""Write FOLDER/openvino as sentence-transformers would at every start: `FOLDER`, in st-openvino."""

from __future__ import annotations

import importlib
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

folder = Path(sys.argv[1])
library: Any = importlib.import_module("sentence_transformers")
model = library.CrossEncoder(str(folder), backend="openvino", device="cpu")
with tempfile.TemporaryDirectory() as made:
    model.save_pretrained(made)
    shutil.copytree(Path(made) / "openvino", folder / "openvino", dirs_exist_ok=True)
