"""Arrays in a mapped file: their values stay, their pages go."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from rerankd.core.errors import StartError
from rerankd.engines.encoder import Int8Rows
from rerankd.engines.mapped_arrays import MappedArrays
from rerankd.engines.openvino.int8 import Int8Weights


def mapped_bytes() -> int:
    """Of files, in memory; a folder in memory counts apart."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return sum(
        int(line.split()[1]) << 10 for line in lines if line.startswith(("RssFile", "RssShmem"))
    )


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_pages_that_were_let_go_of_come_back_with_their_values() -> None:
    arrays = MappedArrays()
    made = arrays.array((32, 1 << 20), np.int8)
    made[...] = np.arange(32, dtype=np.int8)[:, None]
    full = mapped_bytes()
    arrays.let_go()
    assert full - mapped_bytes() > 30 << 20
    np.testing.assert_array_equal(made[:, ::4096], np.arange(32)[:, None].repeat(256, axis=1))


def test_arrays_do_not_overlap_and_outlive_their_maker() -> None:
    arrays = MappedArrays()
    shapes = [(3, 5), (70_000,), (2, 50_001), (1,)]
    made = [arrays.array(shape, np.float32) for shape in shapes]
    for i, array in enumerate(made):
        array[...] = i
    arrays.let_go()
    del arrays
    for i, array in enumerate(made):
        assert array.shape == shapes[i]
        assert (array == i).all()


def test_int8_matrices_lie_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def matrix(name: str) -> npt.NDArray[np.float32]:
        del name
        return np.random.default_rng(0).standard_normal((300, 400), dtype=np.float32)

    plain = Int8Weights(matrix, ("layers.",))("layers.0")
    arrays = MappedArrays()
    mapped = Int8Weights(matrix, ("layers.",), arrays=arrays)("layers.0")
    assert isinstance(plain, Int8Rows)
    assert isinstance(mapped, Int8Rows)
    np.testing.assert_array_equal(mapped.values, plain.values)
    assert not mapped.values.flags.owndata
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    with pytest.raises(StartError, match="set TMPDIR to a folder with room"):
        Int8Weights(matrix, ("layers.",), arrays=MappedArrays())("layers.0")
