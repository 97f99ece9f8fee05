"""The models of true width as rerankd opens them, and what is asked of them."""

from __future__ import annotations

from pathlib import Path

from rerankd.core.options import EngineName, LoadOptions
from rerankd.core.request import Content, RerankRequest
from rerankd.models.base import Model, pointwise
from rerankd.models.load import Spec, load
from tests.reference.make_decoder_goldens import WINDOW_TOKENS
from tests.reference.make_width_goldens import (
    KIND_OF,
    WIDEST_STEP,
    width_items,
    width_pairs,
    write,
)


def open_width(name: str, folder: Path, engine: EngineName = "openvino") -> Model:
    """Write and load one of them, on the CPU."""
    kind = KIND_OF[name]
    options = LoadOptions(
        window_tokens=WINDOW_TOKENS if kind in ("decoders", "bidirectional") else None,
        engine=engine,
        device="cpu" if engine == "torch" else None,
        prompt="bge-gemma" if kind == "named" else None,
    )
    return pointwise(load(Spec(name=name, folder=write(name, folder), options=options)).model)


def width_requests(name: str) -> list[RerankRequest]:
    """One for each golden logit, each of one row."""
    kind = KIND_OF[name]
    if kind in ("decoders", "named"):
        items = width_items(WIDEST_STEP) if kind == "named" else width_items()
        return [_ask(item["query"], item["document"], item["instruction"]) for item in items]
    pairs = width_pairs(WIDEST_STEP) if kind == "bidirectional" else width_pairs()
    return [_ask(pair["query"], pair["document"]) for pair in pairs]


def _ask(query: str, document: str, instruction: str | None = None) -> RerankRequest:
    return RerankRequest(
        query=Content(value=query),
        documents=(Content(value=document),),
        instruction=instruction,
        max_chunks_per_doc=1,
    )
