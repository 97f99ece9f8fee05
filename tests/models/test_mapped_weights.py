"""Weights lie in the mapped file: what that costs, and what may happen to the file meanwhile."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from safetensors.numpy import save_file  # pyright: ignore[reportUnknownVariableType] - PathLike

from rerankd.core.errors import StartError
from rerankd.core.options import LoadOptions
from rerankd.core.rows import Logits, Row
from rerankd.engines.decoder import answer_row
from rerankd.engines.mapped_arrays import MappedArrays
from rerankd.engines.openvino.decoder_engine import DecoderEngine
from rerankd.engines.openvino.decoder_pack import MIN_TOKENS, pack
from rerankd.engines.openvino.engine import OpenVinoEngine
from rerankd.models.causal_yes_no import load_causal_yes_no
from rerankd.models.checkpoint import Checkpoint, open_checkpoint
from rerankd.models.decoder_checkpoint import open_decoder
from rerankd.models.weights import SafetensorsFolder
from tests.checkpoints import decoder as decoders
from tests.checkpoints.bert import TINY_XLMR, XLMR_BASE, tensors, write

Floats = npt.NDArray[np.float32]
WIDE = dataclasses.replace(XLMR_BASE, hidden=1024, heads=16, intermediate=4096, layers=2)
WIDE_TABLE = dataclasses.replace(TINY_XLMR, hidden=64, heads=4)  # over the size that is mapped
ROWS = [Row(np.arange(5, 5 + n, dtype=np.int32), 1) for n in (3, 9, 30, 61)]

LOADER = """
import json, sys
from pathlib import Path
import numpy as np
from rerankd.core.rows import Row
from rerankd.engines.openvino.engine import OpenVinoEngine
from rerankd.models.checkpoint import open_checkpoint

def private():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("RssAnon"))

before = private()  # libraries are loaded
checkpoint = open_checkpoint(Path(sys.argv[1]))
engine = OpenVinoEngine(checkpoint.config, checkpoint.weights, streams=1)
seen = [private()]
for tokens in (4, 40, 200):
    rows = [Row(np.full(tokens, 7, np.int32), 1)] * 4
    engine.forward(rows)
    seen.append(private())
print(json.dumps([each - before for each in seen]))
"""


def half(made: dict[str, Any]) -> dict[str, Any]:
    return {name: tensor.astype(np.float16) for name, tensor in made.items()}


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("stored", ["fp32", "fp16"])
def test_weights_are_in_memory_once(tmp_path: Path, stored: str) -> None:
    """A table of 164 MB that is only looked up, and matrices of 107 MB, which are packed."""
    made: dict[str, Any] = dict(tensors(WIDE))
    name = "roberta.embeddings.word_embeddings.weight"
    made[name] = np.tile(made[name], (10, 1))
    folder = write(tmp_path, WIDE, half(made) if stored == "fp16" else made)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config["vocab_size"] = len(made[name])
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    matrices = 4 * sum(tensor.size for key, tensor in made.items() if key != name)
    done = subprocess.run(
        [sys.executable, "-c", LOADER, str(folder)],
        check=True,
        capture_output=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    seen = json.loads(done.stdout)
    assert seen[-1] > matrices * 0.9
    assert max(seen) < matrices * 1.3 + 90e6


def logits_of(checkpoint: Checkpoint, weights: Any) -> Logits:
    engine = OpenVinoEngine(checkpoint.config, weights, streams=1)
    try:
        return engine.forward(ROWS)
    finally:
        engine.close()


def test_mapped_weights_score_as_copies_do_bit_for_bit(tmp_path: Path) -> None:
    checkpoint = open_checkpoint(write(tmp_path, TINY_XLMR))

    def copies(name: str) -> Floats:
        return checkpoint.weights(name).copy()

    mapped = logits_of(checkpoint, checkpoint.weights)
    np.testing.assert_array_equal(mapped, logits_of(checkpoint, copies))


@pytest.mark.parametrize("kind", ["F16", "BF16"])
def test_half_precision_is_widened_exactly(tmp_path: Path, kind: str) -> None:
    made: dict[str, Any] = half(dict(tensors(WIDE_TABLE)))
    folder = write(tmp_path, WIDE_TABLE, made)
    if kind == "BF16":
        as_bfloat16(folder / "model.safetensors")
    weights = open_checkpoint(folder).weights
    for name, tensor in made.items():
        wide = tensor.astype(np.float32)
        if kind == "BF16":
            wide = (wide.view(np.uint32) & 0xFFFF0000).view(np.float32)
        np.testing.assert_array_equal(weights(name.removeprefix("roberta.")), wide)


@pytest.mark.skipif(sys.platform != "linux", reason="limits the size of files")
def test_no_room_for_widened_weights_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write(tmp_path, WIDE_TABLE, half(dict(tensors(WIDE_TABLE))))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    weights = open_checkpoint(folder).weights
    with pytest.raises(StartError, match="set TMPDIR to a folder with room"):
        weights("embeddings.word_embeddings.weight")


def as_bfloat16(file: Path) -> None:
    """Call the numbers of a file bfloat16, cut from what they were in float16."""
    data = file.read_bytes()
    end = 8 + int.from_bytes(data[:8], "little")
    wide = np.frombuffer(data[end:], "<f2").astype("<f4")
    bits = (wide.view("<u4") >> 16).astype("<u2")
    text = data[8:end].replace(b'"F16"', b'"BF16"')
    text += b" " * (-len(text) % 8)
    file.write_bytes(len(text).to_bytes(8, "little") + text + bits.tobytes())


def test_tensors_behind_an_odd_header_are_copied_not_misread(tmp_path: Path) -> None:
    """Old files were written without padding behind the header."""
    made: dict[str, Any] = dict(tensors(TINY_XLMR))
    folder = write(tmp_path, TINY_XLMR, made)
    file = folder / "model.safetensors"
    data = file.read_bytes()
    end = 8 + int.from_bytes(data[:8], "little")
    text = data[8:end].rstrip()
    text += b" " * ((1 - 8 - len(text)) % 4)  # the tensors start one byte behind a multiple of 4
    file.write_bytes(len(text).to_bytes(8, "little") + text + data[end:])
    weights = open_checkpoint(folder).weights
    for name, tensor in made.items():
        got = weights(name.removeprefix("roberta."))
        assert got.flags.aligned
        np.testing.assert_array_equal(got, tensor)


def delete(file: Path) -> None:
    file.unlink()


def replace(file: Path) -> None:
    other = file.with_suffix(".new")
    save_file({"x": np.zeros(3, np.float32)}, other)
    other.replace(file)


@pytest.mark.skipif(sys.platform == "win32", reason="a mapped file cannot be deleted there")
@pytest.mark.parametrize("change", [delete, replace])
@pytest.mark.parametrize("shape", [decoders.TINY_QWEN3, decoders.TINY_QWEN2])
def test_a_file_that_is_deleted_or_replaced_is_served_on(
    tmp_path: Path, change: Callable[[Path], None], shape: decoders.Shape
) -> None:
    """Before the first batch, so that all matrices are still to be packed from the mapping."""
    checkpoint = open_decoder(decoders.write(tmp_path, shape))
    whole = DecoderEngine(checkpoint.config, checkpoint.weights, yes=10, no=11)
    wanted = whole.forward(ROWS)
    whole.close()
    again = open_decoder(tmp_path)
    engine = DecoderEngine(again.config, again.weights, yes=10, no=11)
    del again  # the engine alone keeps the mapping
    for file in tmp_path.glob("*.safetensors"):
        change(file)
    np.testing.assert_array_equal(engine.forward(ROWS), wanted)
    engine.close()


@pytest.mark.parametrize("shape", [decoders.TINY_QWEN3, decoders.TINY_QWEN2])
def test_the_heads_row_reads_two_rows_of_the_table_exactly(
    tmp_path: Path, shape: decoders.Shape
) -> None:
    checkpoint = open_decoder(decoders.write(tmp_path, shape))
    name = "embed_tokens.weight" if checkpoint.config.tied else "lm_head.weight"
    table = checkpoint.weights(name).astype(np.float64)
    row = answer_row(checkpoint.config, checkpoint.weights, yes=10, no=11)
    np.testing.assert_array_equal(row, (table[10:11] - table[11:12]).astype(np.float32))


@pytest.mark.parametrize("dtype", ["F32", "F16", "BF16"])
def test_rows_of_a_table_are_those_of_the_whole(
    tmp_path: Path, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = np.random.default_rng(2).standard_normal((50, 6), dtype=np.float32)
    stored = {
        "F32": table,
        "F16": table.astype(np.float16),
        "BF16": (table.view(np.uint32) >> 16).astype(np.uint16),
    }[dtype]
    header = {"t": {"dtype": dtype, "shape": [50, 6], "data_offsets": [0, stored.nbytes]}}
    text = json.dumps(header).encode()
    data = len(text).to_bytes(8, "little") + text + stored.tobytes()
    (tmp_path / "model.safetensors").write_bytes(data)
    weights = SafetensorsFolder(tmp_path, prefix="")
    ids = np.array([7, 0, 49, 7], dtype=np.int32)
    whole = weights("t")
    monkeypatch.setattr(SafetensorsFolder, "__call__", None)  # nothing reads it whole
    rows = weights.rows("t", ids)
    assert rows.dtype == np.float32
    np.testing.assert_array_equal(rows, whole[ids])


def test_a_decoder_in_int8_widens_no_tensor_for_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = decoders.write(tmp_path, decoders.TINY_QWEN2)  # half precision
    read: list[str] = []
    whole = SafetensorsFolder.__call__

    def noted(self: SafetensorsFolder, name: str) -> Any:
        read.append(name)
        return whole(self, name)

    monkeypatch.setattr(SafetensorsFolder, "__call__", noted)
    kinds: set[type] = set()
    array = MappedArrays.array

    def noted_array(self: MappedArrays, shape: tuple[int, ...], dtype: type[np.generic]) -> Any:
        kinds.add(dtype)
        return array(self, shape, dtype)

    monkeypatch.setattr(MappedArrays, "array", noted_array)
    gone: list[SafetensorsFolder] = []
    let_go = SafetensorsFolder.let_go

    def noted_let_go(self: SafetensorsFolder) -> None:
        gone.append(self)
        let_go(self)

    monkeypatch.setattr(SafetensorsFolder, "let_go", noted_let_go)
    options = LoadOptions(precision="int8")
    model = load_causal_yes_no(folder, name="tiny", options=options)
    assert model.engine.info.precision == "int8"
    assert np.isfinite(model.engine.forward(ROWS)).all()
    assert not {"embed_tokens.weight", "lm_head.weight"} & set(read)
    assert len(gone) == 1
    assert kinds == {np.int8}
    model.engine.close()


@pytest.mark.parametrize("kept", [True, False])
def test_rows_of_a_table_leave_no_pages_where_nothing_else_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, kept: bool
) -> None:
    decoders.write(tmp_path, decoders.TINY_QWEN3)
    weights = SafetensorsFolder(tmp_path, prefix="model.", are_kept=kept)
    gone: list[int] = []
    let_go = SafetensorsFolder.let_go

    def noted(self: SafetensorsFolder) -> None:
        gone.append(1)
        let_go(self)

    monkeypatch.setattr(SafetensorsFolder, "let_go", noted)
    ids = np.arange(1024, dtype=np.int32) % 50
    made = [weights.rows("embed_tokens.weight", ids) for _ in range(4)]
    assert len(gone) == (0 if kept else 2)
    np.testing.assert_array_equal(made[3], made[0])


@pytest.mark.parametrize("tokens", [1, 2])
def test_a_short_call_of_a_decoder_gets_tokens_that_nothing_reads(
    tmp_path: Path, tokens: int
) -> None:
    checkpoint = open_decoder(decoders.write(tmp_path, decoders.TINY_QWEN3))
    config = checkpoint.config
    past = np.empty((0, 2 * config.layers, config.kv_heads, config.head_dim), np.float32)
    inputs = pack([np.arange(5, 5 + tokens, dtype=np.int32)], config, past=past, keep=True)
    assert len(inputs["ids"]) == len(inputs["cos"]) == len(inputs["tokens"]) == MIN_TOKENS
    assert list(inputs["keep"]) == list(range(tokens))
    engine = DecoderEngine(config, checkpoint.weights, yes=10, no=11, cache_bytes=0)
    row = np.arange(5, 15, dtype=np.int32)
    wanted = engine.forward([Row(row[:tokens], 1)])
    longer = engine.forward([Row(row[:tokens], 1), Row(row, 1)])
    engine.close()
    np.testing.assert_allclose(wanted[0], longer[0], rtol=0, atol=1e-5)
