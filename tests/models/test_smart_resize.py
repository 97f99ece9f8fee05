"""To which size a picture is brought: its laws. Values: golden-vision.json."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerankd.models.smart_resize import PixelLimits, frame_limits, smart_resize

TOKEN = 32 * 32
LIMITS = PixelLimits(least=4 * TOKEN, most=1800 * TOKEN)
SIDE = st.integers(1, 20_000)


@given(SIDE, SIDE)
def test_every_size_becomes_multiples_within_the_limits(height: int, width: int) -> None:
    if max(height, width) > 200 * min(height, width):
        with pytest.raises(ValueError, match="times the other; at most 200"):
            smart_resize(height, width, factor=32, limits=LIMITS)
        return
    down, across = smart_resize(height, width, factor=32, limits=LIMITS)
    assert down % 32 == across % 32 == 0
    assert down >= 32
    assert across >= 32
    assert LIMITS.least <= down * across <= LIMITS.most


def test_no_side_becomes_nothing() -> None:
    tight = PixelLimits(least=1.0, most=4.0 * TOKEN)
    assert smart_resize(10, 2000, factor=32, limits=tight)[0] == 32


@pytest.mark.parametrize(
    ("frames", "tokens"), [(2, 768), (10, 768), (20, 768), (40, 384), (64, 240), (200, 134.4)]
)
def test_the_frames_of_a_video_share_its_pixels(frames: int, tokens: float) -> None:
    limits = frame_limits(frames, least=128 * TOKEN, most=768 * TOKEN, total=7680 * TOKEN)
    assert limits.least == 128 * TOKEN
    assert limits.most == int(tokens * TOKEN)
