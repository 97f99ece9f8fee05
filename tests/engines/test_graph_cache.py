"""Compiled graphs on the disk: the same scores, never read when damaged, bounded, for one user."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Generator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from rerankd.core.graph_cache import GraphCache
from rerankd.core.options import LoadOptions
from rerankd.core.request import Content, RerankRequest
from rerankd.core.rows import Scores
from rerankd.engines import graph_files
from rerankd.engines.openvino import stored_graphs
from rerankd.engines.openvino.runtime import core, ov
from rerankd.models.base import Model
from rerankd.models.load import load, resolve
from tests.checkpoints.bert import GOLDEN_SHAPES, write

KEY = "00ff"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(tmp_path / "model", GOLDEN_SHAPES["tiny-bert"])


@pytest.fixture
def cache(tmp_path: Path) -> GraphCache:
    return GraphCache(folder=str(tmp_path / "deep" / "graphs"), limit_bytes=1 << 24, version="1")


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Generator[list[str]]:
    """What OpenVINO was asked: to compile a graph of a model, or to read one."""
    seen: list[str] = []

    known: Any = ov.Core

    class Core:
        def __init__(self) -> None:
            self._core = known()

        def compile_model(self, *args: Any) -> Any:
            seen.append("compiled")
            return self._core.compile_model(*args)

        def import_model(self, *args: Any) -> Any:
            seen.append("read")
            return self._core.import_model(*args)

        def get_property(self, *args: Any) -> Any:
            return self._core.get_property(*args)

    monkeypatch.setattr(ov, "Core", Core)
    core.cache_clear()
    yield seen
    core.cache_clear()


def scores(folder: Path, cache: GraphCache | None, **options: Any) -> Scores:
    spec = replace(resolve(f"a={folder}", LoadOptions(**options)), graph_cache=cache)
    model = cast("Model", load(spec).model)
    documents = (Content(value="Paris is a city."), Content(value="An egg."))
    rows = model.prepare(RerankRequest(query=Content(value="Paris"), documents=documents)).rows
    try:
        return model.logit(model.engine.forward(rows))
    finally:
        model.engine.close()


def files(cache: GraphCache) -> list[Path]:
    return sorted(Path(cache.folder).iterdir())


@pytest.mark.parametrize("options", [{}, {"quantization": "int8"}])
def test_the_next_start_reads_what_this_one_compiled(
    folder: Path, cache: GraphCache, calls: list[str], options: dict[str, Any]
) -> None:
    first = scores(folder, cache, **options)
    found = files(cache)  # int8 has one more, which finds the ranges of activations
    assert {file.stat().st_mode & 0o777 for file in found} == {0o600}
    assert Path(cache.folder).stat().st_mode & 0o777 == 0o700
    calls.clear()
    assert (scores(folder, cache, **options) == first).all()
    assert calls == ["read"] * len(found)


def test_nothing_is_kept_unless_asked_for(folder: Path, cache: GraphCache) -> None:
    scores(folder, None)
    assert not Path(cache.folder).exists()


def test_other_weights_versions_and_options_are_other_graphs(
    folder: Path, cache: GraphCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: set[str] = set()

    def kept(folder: Path, cache: GraphCache, **options: Any) -> None:
        scores(folder, cache, **options)
        names = {file.name for file in files(cache)}
        assert names > seen, "it was compiled anew and kept"
        seen.update(names)

    kept(folder, cache)
    kept(write(tmp_path / "other", GOLDEN_SHAPES["tiny-bert-2-labels"]), cache)
    kept(folder, replace(cache, version="2"))
    kept(folder, cache, quantization="int8")
    kept(folder, cache, streams=3)
    monkeypatch.setattr(stored_graphs, "_processor", lambda: "another")
    kept(folder, cache)


def flipped(file: Path, place: int) -> None:
    data = bytearray(file.read_bytes())
    data[place] ^= 1
    file.write_bytes(data)


DAMAGE: dict[str, Callable[[Path], object]] = {
    "its form": lambda file: flipped(file, 0),
    "its checksum": lambda file: flipped(file, 20),
    "its first byte": lambda file: flipped(file, 48),
    "its last byte": lambda file: flipped(file, -1),
    "cut short": lambda file: os.truncate(file, file.stat().st_size // 2),
    "nothing but a head": lambda file: os.truncate(file, 48),
    "empty": lambda file: os.truncate(file, 0),
    "others may write it": lambda file: file.chmod(0o620),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_file_that_cannot_be_trusted_is_made_anew(
    damage: str,
    folder: Path,
    cache: GraphCache,
    calls: list[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    first = scores(folder, cache)
    [file] = files(cache)
    whole = file.read_bytes()
    DAMAGE[damage](file)
    calls.clear()
    assert (scores(folder, cache) == first).all()
    assert calls == ["compiled"], "OpenVINO was not handed what is damaged"
    assert f"{file} is not used" in caplog.text
    assert len(file.read_bytes()) == len(whole)
    assert file.stat().st_mode & 0o777 == 0o600
    calls.clear()
    scores(folder, cache)
    assert calls == ["read"]


def test_a_whole_file_that_openvino_refuses_is_made_anew(
    folder: Path, cache: GraphCache, calls: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    first = scores(folder, cache)
    [file] = files(cache)
    graph_files.write(cache, file.stem, b"of another library")
    calls.clear()
    assert (scores(folder, cache) == first).all()
    assert calls == ["read", "compiled"]
    assert f"{file} is not used (OpenVINO cannot read it" in caplog.text
    calls.clear()
    assert (scores(folder, cache) == first).all()
    assert calls == ["read"]


def test_a_link_is_not_followed(cache: GraphCache, tmp_path: Path) -> None:
    graph_files.write(cache, KEY, b"graph")
    [file] = files(cache)
    file.rename(tmp_path / "elsewhere")
    file.symlink_to(tmp_path / "elsewhere")
    assert graph_files.read(cache, KEY) is None


def test_what_was_not_used_for_longest_goes_first(cache: GraphCache) -> None:
    small = replace(cache, limit_bytes=3 * 1000)
    for age, key in enumerate(("a", "b", "c")):
        graph_files.write(small, key, bytes(900))
        os.utime(Path(small.folder) / f"{key}.graph", (age, age))
    assert graph_files.read(small, "a") == bytes(900)  # now it was used
    graph_files.write(small, "d", bytes(900))
    assert [file.name for file in files(small)] == ["a.graph", "c.graph", "d.graph"]
    graph_files.write(small, "e", bytes(3000))
    assert len(files(small)) == 3, "what is over the limit alone is not kept, and removes nothing"


def test_a_folder_that_cannot_be_written_stops_nothing(
    folder: Path, cache: GraphCache, caplog: pytest.LogCaptureFixture
) -> None:
    Path(cache.folder).parent.write_text("a file")
    assert scores(folder, cache).size
    assert "is not kept" in caplog.text


def test_a_graph_that_is_slower_to_read_than_to_compile_is_not_kept(
    folder: Path, cache: GraphCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored_graphs, "MOST_BYTES", 1000)
    scores(folder, cache)
    assert not Path(cache.folder).exists()


@pytest.fixture(autouse=True)
def logged() -> None:
    logging.getLogger("rerankd").propagate = True  # a server that a test started may have it off
