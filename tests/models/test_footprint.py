"""About how much memory a model takes, by the headers of its files."""

from __future__ import annotations

from pathlib import Path

import pytest

from rerankd.core.errors import StartError
from rerankd.core.options import LoadOptions
from rerankd.models.footprint import footprint_bytes
from rerankd.models.load import Spec, resolve
from tests.checkpoints import bert, decoder

# queries, keys, values, outputs, and both feed-forward matrices of two layers
MATRICES = 2 * (4 * 32 * 32 + 2 * 32 * 64)


def of(folder: Path, **options: str) -> int | None:
    return footprint_bytes(Spec(name="m", folder=folder, options=LoadOptions(**options)))  # type: ignore[arg-type]


def test_matrices_count_in_the_precision_that_is_asked_for(tmp_path: Path) -> None:
    folder = bert.write(tmp_path / "m", bert.TINY_BERT)
    fp32 = of(folder)
    assert fp32 is not None
    # the pooler and the head are small beside them; tables are looked up in the file
    assert 1.8 * 4 * MATRICES < fp32 < 1.8 * 4 * (MATRICES + 40 * 32)
    assert of(folder, precision="auto") == fp32
    assert of(folder, precision="bf16") == fp32 // 2
    assert of(folder, quantization="int8") == fp32 // 4
    assert of(folder, engine="torch") is None  # may run on a GPU
    assert of(folder, engine="torch", device="cpu") == fp32


def test_all_shards_count(tmp_path: Path) -> None:
    folder = decoder.write(tmp_path / "m", decoder.TINY_QWEN2)
    assert len(list(folder.glob("*.safetensors"))) > 1
    whole = of(folder)
    assert whole is not None
    assert whole > 4 * 1.8 * decoder.TINY_QWEN2.layers * 3 * 32 * 32


def test_what_ships_inside_by_its_files() -> None:
    mini = footprint_bytes(resolve("rerankd-mini"))
    assert mini is not None
    assert 40_000_000 < mini < 60_000_000
    assert footprint_bytes(Spec(name="of-a-test")) is None


def test_damaged_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="has no weights"):
        of(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"\xff" * 100)
    with pytest.raises(StartError, match="damaged"):
        of(tmp_path)
