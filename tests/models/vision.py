"""A Qwen3-VL reranker of the tests on the fake engine, so that no torch is needed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rerankd.core.request import RerankRequest
from rerankd.core.rows import Row
from rerankd.engines.fake import FakeEngine
from rerankd.models.base import ModelCard
from rerankd.models.families import VISION_YES_NO
from rerankd.models.text_encoder import TextEncoder
from rerankd.models.vision_checkpoint import open_vision
from rerankd.models.vision_pixels import SAMPLING
from rerankd.models.vision_yes_no import WINDOW_TOKENS, VisionYesNo
from tests.checkpoints.vision import TINY, Shape, write
from tests.reference.make_vision_goldens import GOLDEN, Item, Side
from tests.reference.pictures import content


def fake_model(folder: Path, window: int = WINDOW_TOKENS, shape: Shape = TINY) -> VisionYesNo:
    """Real tokenizer and prompt, made-up logits."""
    checkpoint = open_vision(write(folder, shape))
    card = ModelCard(
        name="tiny-vl",
        family=VISION_YES_NO,
        window_tokens=window,
        score="test",
        video=SAMPLING,
    )
    engine = FakeEngine(max_length=None)
    return VisionYesNo(card, engine, TextEncoder(checkpoint.tokenizer), checkpoint.tokens)


def ask(query: Side, *documents: Side, **fields: Any) -> RerankRequest:
    """A request of texts and made-up media."""
    return RerankRequest(
        query=content(query), documents=tuple(content(d) for d in documents), **fields
    )


def rows_of(model: VisionYesNo, item: Item, **fields: Any) -> tuple[Row, ...]:
    """The rows of one pair."""
    fields = {"max_chunks_per_doc": 1, "instruction": item.instruction, **fields}
    return model.prepare(ask(item.query, item.document, **fields)).rows


def golden() -> dict[str, Any]:
    """golden-vision.json."""
    return json.loads(GOLDEN.read_text(encoding="utf-8"))
