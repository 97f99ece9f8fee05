"""An image is explained by what was read of it, also beside an image that is the query."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from rerankd.core.explanation import SeenImage
from tests.models.test_explain import explained
from tests.models.vision import ask, fake_model
from tests.reference.make_vision_goldens import Side
from tests.reference.pictures import Picture


@pytest.mark.parametrize("query", ["a red chair", Picture(2, 640, 64)])
def test_an_image_tells_its_pixels_and_tokens(tmp_path: Path, query: Side) -> None:
    model = fake_model(tmp_path)
    request = replace(ask(query, Picture(1, 200, 320), "A chair, red."), explain=True)
    image, text = explained(model, request)
    (chunk,) = image.chunks
    assert chunk.image == SeenImage(width=320, height=192, tokens=60)
    assert chunk.span is None
    assert text.chunks[0].image is None
