"""Mapped files of installed models stay in memory only as far as they are read."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import (
    save_file,  # pyright: ignore[reportUnknownVariableType] - os.PathLike without a type
)

from rerankd.core.rows import TokenIds
from rerankd.engines.max_sim import EncodedText
from rerankd.models.builtin_files import WEIGHTS, Folder, Tensors

ROWS = np.arange(1 << 22, dtype=np.float32).reshape(1 << 12, 1 << 10)  # 16 MB


def resident_kb(path: Path) -> int:
    found = re.findall(
        rf"^\S+-\S+ .*{re.escape(str(path))}\n(?:.*\n)*?Rss: +(\d+)",
        Path("/proc/self/smaps").read_text("utf-8"),
        re.MULTILINE,
    )
    return sum(map(int, found))


class Reading:
    """An encoder that reads the row of each id."""

    def __init__(self, rows: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> None:
        self.rows, self.seen = rows, list[float]()

    def encode(self, texts: Sequence[TokenIds]) -> list[EncodedText]:
        self.seen += [float(self.rows[ids].sum()) for ids in texts]
        return []

    def close(self) -> None:
        """Nothing."""


@pytest.mark.skipif(sys.platform != "linux", reason="/proc")
def test_what_was_read_of_the_file_need_not_stay(tmp_path: Path) -> None:
    save_file({"rows": ROWS}, tmp_path / WEIGHTS)
    tensors = Tensors(Folder(tmp_path, ""))
    rows = tensors.plain("rows", np.float32)
    assert np.array_equal(rows, ROWS)
    assert resident_kb(tmp_path / WEIGHTS) > 16_000
    inner = Reading(rows)
    encoder = tensors.frugal(inner)
    assert resident_kb(tmp_path / WEIGHTS) < 1_000
    ids = np.arange(1 << 12, dtype=np.int32)
    encoder.encode([ids[:900]])
    assert resident_kb(tmp_path / WEIGHTS) > 3_000
    encoder.encode([ids[900:]])
    assert resident_kb(tmp_path / WEIGHTS) < 1_000
    assert inner.seen == [float(ROWS[:900].sum()), float(ROWS[900:].sum())]
