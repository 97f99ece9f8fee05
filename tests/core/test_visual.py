"""Rows with pictures: what makes two of them equal, and what they cost."""

from __future__ import annotations

import numpy as np

from rerankd.core.batch import distinct
from rerankd.core.rows import Prepared, Row
from rerankd.core.visual import Placed, Visual

IDS = np.array([5, 9, 9, 9, 9, 6], dtype=np.int32)


def visual(digest: bytes, grid: tuple[int, int] = (2, 2)) -> Visual:
    return Visual(frames=np.zeros((1, 64, 64, 3), np.uint8), grid=grid, digest=digest)


def row(*placed: Placed) -> Row:
    return Row(IDS, IDS.size, visuals=placed)


def test_rows_are_equal_by_ids_and_pictures() -> None:
    one, same, other = (visual(digest) for digest in (b"1" * 32, b"1" * 32, b"2" * 32))
    rows = [row(Placed(v, 1)) for v in (one, other, same)] + [row(), row(Placed(one, 0)), row()]
    unique, inverse = distinct(rows)
    assert inverse == [0, 1, 0, 2, 3, 2]
    assert unique[0] is rows[0]


def test_pictures_in_another_order_are_another_row() -> None:
    one, other = visual(b"1" * 32, (1, 2)), visual(b"2" * 32, (1, 2))
    there = row(Placed(one, 1), Placed(other, 3)), row(Placed(other, 1), Placed(one, 3))
    assert there[0].key() != there[1].key()


def test_image_tokens_count_every_row() -> None:
    shown = visual(b"1" * 32)
    prepared = Prepared(
        rows=(row(Placed(shown, 1)), row(), row(Placed(shown, 1))), owners=(0, 1, 2)
    )
    assert prepared.image_tokens == 8
    assert prepared.input_tokens == 18
    assert Placed(shown, 1).end == 5
