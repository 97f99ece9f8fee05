"""Where pictures stand in rows, every token's place, and pixels as patches: numpy alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerankd.core.rows import Row
from rerankd.core.visual import Placed, Visual
from rerankd.engines.shared_prefix import plan_groups
from rerankd.engines.vision_config import VisionConfig
from rerankd.engines.visuals import (
    misplaced,
    mrope_axes,
    mrope_positions,
    patch_places,
    patches,
    position_taps,
    with_image_ids,
)

CONFIG = VisionConfig(
    depth=3, hidden=32, heads=2, intermediate=56, patch=16, merge=2, side=12, deepstack=(0,)
)


def visual(name: str, down: int, across: int, frames: int = 1) -> Visual:
    rng = np.random.default_rng(len(name))
    made = rng.integers(0, 256, (frames, 32 * down, 32 * across, 3), dtype=np.uint8)
    return Visual(frames=made, grid=(down, across), digest=name.encode())


def row(length: int, *placed: Placed) -> Row:
    return Row(np.full(length, 7, dtype=np.int32), length, visuals=placed)


def test_positions_count_time_rows_and_columns() -> None:
    made = row(13, Placed(visual("a", 2, 3), 2), Placed(visual("b", 1, 1), 9))
    time, down, across = mrope_positions(made).T.tolist()
    assert time == [0, 1, 2, 2, 2, 2, 2, 2, 5, 6, 7, 8, 9]
    assert down == [0, 1, 2, 2, 2, 3, 3, 3, 5, 6, 7, 8, 9]
    assert across == [0, 1, 2, 3, 4, 2, 3, 4, 5, 6, 7, 8, 9]


@given(st.integers(1, 40))
def test_text_alone_counts_on(length: int) -> None:
    assert (mrope_positions(row(length)) == np.arange(length)[:, None]).all()


def test_axes_are_interleaved_as_published() -> None:
    axes = mrope_axes(128, (24, 20, 20))
    assert axes[:6].tolist() == [0, 1, 2, 0, 1, 2]
    assert axes[60:].tolist() == [0, 0, 0, 0]
    assert np.bincount(axes).tolist() == [24, 20, 20]


def test_two_pictures_with_the_same_placeholders_are_told_apart() -> None:
    """Rows that differ in their pictures only share no prefix behind the first of them."""
    one, other = visual("one", 4, 10), visual("other", 4, 10)
    rows = [row(100, Placed(v, 5)) for v in (one, other, one)]
    told, distinct = with_image_ids(rows, 1000)
    assert [v.digest for v in distinct] == [b"one", b"other"]
    assert told[0].ids[5:45].tolist() == list(range(1000, 1040))
    assert told[1].ids[5:45].tolist() == list(range(1040, 1080))
    assert (told[0].ids == told[2].ids).all()
    assert (rows[0].ids == 7).all()  # the row itself is as it was
    for group in plan_groups([each.ids for each in told], [0] * 3):
        if set(group.members) >= {1}:
            assert group.prefix_tokens <= 5 or group.members == (1,)


def test_one_picture_further_on_is_not_the_same_prefix() -> None:
    shown = visual("one", 2, 2)
    told, distinct = with_image_ids([row(9, Placed(shown, 1)), row(9, Placed(shown, 2))], 1000)
    assert len(distinct) == 1
    assert told[0].ids[2] != told[1].ids[2]


def test_rows_without_pictures_stay_as_they_are() -> None:
    plain = row(5)
    assert with_image_ids([plain], 10)[0][0] is plain


@pytest.mark.parametrize("frames", [1, 2])
def test_patches_are_the_pixels_block_by_block(frames: int) -> None:
    shown = visual("x", 2, 3, frames)
    made = patches(shown, CONFIG).reshape(-1, 3, 2, 16, 16)
    places = patch_places(shown, CONFIG)
    assert places[:8].tolist() == [[0, 0], [0, 1], [1, 0], [1, 1], [0, 2], [0, 3], [1, 2], [1, 3]]
    assert len(made) == len(places) == 24
    for values, (y, x) in zip(made, places, strict=True):
        for time in range(2):
            pixels = shown.frames[min(time, frames - 1), 16 * y : 16 * y + 16, 16 * x : 16 * x + 16]
            assert (values[:, time] == pixels.transpose(2, 0, 1)).all()


def test_the_position_table_is_stretched_corners_on_corners() -> None:
    shown = visual("x", 3, 4)
    index, share = position_taps(shown, CONFIG)
    places = patch_places(shown, CONFIG)
    np.testing.assert_allclose(share.sum(1), 1.0, rtol=0, atol=1e-6)
    assert (index >= 0).all()
    assert (index < 144).all()
    row_of = (index // 12 * share).sum(1)
    column_of = (index % 12 * share).sum(1)
    np.testing.assert_allclose(row_of, places[:, 0] * 11 / 5, rtol=0, atol=1e-5)
    np.testing.assert_allclose(column_of, places[:, 1] * 11 / 7, rtol=0, atol=1e-5)


def test_a_picture_that_does_not_fit_its_row_is_found() -> None:
    good = visual("x", 2, 2)
    wrong_size = Visual(frames=np.zeros((1, 60, 64, 3), np.uint8), grid=(2, 2), digest=b"")
    three = Visual(frames=np.zeros((3, 64, 64, 3), np.uint8), grid=(2, 2), digest=b"")
    assert misplaced(row(9, Placed(good, 1), Placed(good, 5)), CONFIG) == ""
    for placed in (
        [Placed(good, 6)],
        [Placed(good, -1)],
        [Placed(good, 1), Placed(good, 4)],
        [Placed(wrong_size, 0)],
        [Placed(three, 0)],
    ):
        assert "picture" in misplaced(row(9, *placed), CONFIG)


def test_golden_positions_are_transformers(tmp_path: Path) -> None:
    from tests.models.vision import fake_model, golden, rows_of
    from tests.reference.make_vision_goldens import items

    model = fake_model(tmp_path)
    checked = 0
    for item, prompt in zip(items(), golden()["prompts"], strict=True):
        if prompt["positions"]:
            (made,) = rows_of(model, item)
            assert mrope_positions(made).T.tolist() == prompt["positions"]
            checked += 1
    assert checked >= 6
