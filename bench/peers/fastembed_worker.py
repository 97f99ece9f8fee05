"""fastembed's TextCrossEncoder with its defaults on an exported model: `FOLDER`.

FOLDER/onnx/model.onnx is made by bench/peers/export_onnx.py.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from typing import Any

import worker


def load() -> worker.Score:
    """The model from the folder, registered under a name of its own."""
    encoder: Any = importlib.import_module("fastembed.rerank.cross_encoder").TextCrossEncoder
    descriptions: Any = importlib.import_module("fastembed.common.model_description")
    encoder.add_custom_model(
        model="local/timing",
        model_file="onnx/model.onnx",
        sources=descriptions.ModelSource(hf="local/timing"),
    )
    model = encoder("local/timing", specific_model_path=sys.argv[1], threads=worker.cores())

    def score(query: str, documents: Sequence[str]) -> Sequence[float]:
        return list(model.rerank(query, list(documents)))

    return score


worker.run(load)
