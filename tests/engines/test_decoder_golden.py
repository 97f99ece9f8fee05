"""Our decoder logits against transformers' on the same weights (golden-decoder.json)."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rerankd.core.errors import EngineFailed
from rerankd.core.request import Content, RerankRequest
from rerankd.core.rows import Logits, Row, TokenIds
from rerankd.engines.base import Sliced
from rerankd.engines.openvino.decoder_engine import GIVE_BACK_TOKENS, DecoderEngine
from rerankd.engines.openvino.decoder_pack import pack
from rerankd.models.causal_yes_no import CausalYesNo, load_causal_yes_no
from rerankd.models.decoder_checkpoint import open_decoder
from rerankd.models.selfcheck import self_check
from tests.checkpoints.decoder import GOLDEN_SHAPES, TINY_QWEN3, write
from tests.reference.make_decoder_goldens import (
    CHUNK_TOKENS,
    GOLDEN,
    LONG_TOKENS,
    OVERLAP_TOKENS,
    WINDOW_TOKENS,
    Golden,
    Item,
    items,
    long_items,
)

pytestmark = pytest.mark.timeout(1800)  # slow

TOLERANCE = 1e-3  # to torch, on other kernels
INDEPENDENCE = 1e-5  # to ourselves: another batch, another prefix


@dataclass(frozen=True)
class Loaded:
    """A checkpoint of one shape, its golden logits, and our rows and logits of all pairs."""

    folder: Path
    golden: Golden
    model: CausalYesNo
    rows: tuple[Row, ...]
    logits: Logits


def prepare(model: CausalYesNo, item: Item, **more: int) -> tuple[Row, ...]:
    """The rows of one item."""
    request = RerankRequest(
        query=Content(value=item["query"]),
        documents=(Content(value=item["document"]),),
        instruction=item["instruction"],
        **more,  # pyright: ignore[reportArgumentType] - only numbers are given here
    )
    return model.prepare(request).rows


@pytest.fixture(scope="module", params=list(GOLDEN_SHAPES))
def loaded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    name: str = request.param
    folder = write(tmp_path_factory.mktemp(name), GOLDEN_SHAPES[name])
    model = load_causal_yes_no(folder, name=name)
    short = model.with_window(WINDOW_TOKENS)
    rows = tuple(row for item in items() for row in prepare(short, item, max_chunks_per_doc=1))
    goldens: dict[str, Golden] = json.loads(GOLDEN.read_text(encoding="utf-8"))
    return Loaded(folder, goldens[name], model, rows, model.engine.forward(rows))


def engine(folder: Path, *, cache_bytes: int) -> DecoderEngine:
    """Another engine over the same weights."""
    checkpoint = open_decoder(folder)
    yes, no = (checkpoint.tokenizer.encode(text).ids[0] for text in ("yes", "no"))
    if checkpoint.config.architecture == "qwen2":
        yes, no = (checkpoint.tokenizer.encode(text).ids[0] for text in ("1", "0"))
    return DecoderEngine(
        checkpoint.config, checkpoint.weights, yes=yes, no=no, cache_bytes=cache_bytes
    )


def test_every_pair_scores_as_transformers_scores_it(loaded: Loaded) -> None:
    golden = np.array(loaded.golden["pairs"])
    lengths = [row.tokens for row in loaded.rows]
    assert len(golden) >= 300
    assert max(lengths) == WINDOW_TOKENS
    assert golden.std() > 0.5  # else agreement says little
    assert loaded.logits.shape == (len(golden), 1)
    assert loaded.logits.dtype == np.float32
    assert np.abs(loaded.logits[:, 0] - golden).max() < TOLERANCE


def test_a_row_of_the_whole_window_scores_as_transformers_scores_it(loaded: Loaded) -> None:
    rows = prepare(loaded.model, long_items()[0], max_chunks_per_doc=1)  # all: test_live_decoder
    assert [row.tokens for row in rows] == [LONG_TOKENS]
    ours = loaded.model.engine.forward(rows)
    assert abs(ours[0, 0] - loaded.golden["long"][0]) < TOLERANCE


def test_a_document_of_many_chunks_scores_as_the_chunks_done_by_hand(loaded: Loaded) -> None:
    model = loaded.model.with_window(CHUNK_TOKENS)
    for item, by_hand in zip(long_items(), loaded.golden["chunks"], strict=True):
        rows = prepare(model, item, overlap_tokens=OVERLAP_TOKENS)
        assert rows[0].tokens == CHUNK_TOKENS
        picked = [*range(0, len(rows), 8), len(rows) - 1]
        ours = model.engine.forward([rows[i] for i in picked])
        assert len(rows) == len(by_hand) >= 3
        wanted = np.array(by_hand)[picked]
        np.testing.assert_allclose(ours[:, 0], wanted, rtol=0, atol=TOLERANCE)


def test_logits_do_not_depend_on_batch_mates_their_order_or_earlier_batches(
    loaded: Loaded,
) -> None:
    rng = np.random.default_rng(5)
    for _ in range(10):
        picked = rng.permutation(len(loaded.rows))[: rng.integers(1, 13)]
        members = [int(i) for i in picked]
        again = loaded.model.engine.forward([loaded.rows[i] for i in members])
        assert np.abs(again - loaded.logits[members]).max() < INDEPENDENCE


def test_logits_do_not_depend_on_where_a_prefix_ends(loaded: Loaded) -> None:
    """Each row behind relatives that share ever more of its tokens, with and without a cache."""
    row = max(loaded.rows[:200], key=lambda row: row.tokens)
    whole = engine(loaded.folder, cache_bytes=0).forward([row])
    for cache_bytes in (0, 1 << 17):
        other = engine(loaded.folder, cache_bytes=cache_bytes)
        for shared in (1, 60, 200, row.tokens - 1, row.tokens):
            ids = row.ids.copy()
            ids[shared:] = (ids[shared:] + 1) % 1000
            relatives = [Row(ids[:end], end) for end in (ids.size, max(1, ids.size - 3))]
            mixed = other.forward([relatives[0], row, relatives[1], row])
            assert np.abs(mixed[[1, 3]] - whole).max() < INDEPENDENCE


def test_a_row_in_pieces_scores_as_in_one(loaded: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = list(loaded.rows[150:154])
    module = "rerankd.engines.openvino.decoder_engine"
    monkeypatch.setattr(f"{module}.MAX_SLICE_TOKENS", 37)
    monkeypatch.setattr(f"{module}.MICRO_BATCH_TOKENS", 50)
    pieces = engine(loaded.folder, cache_bytes=0).forward(rows)
    assert np.abs(pieces - loaded.logits[150:154]).max() < INDEPENDENCE
    monkeypatch.setattr(f"{module}.ATTENTION_BYTES", 4 * 6 * 600 * 9)  # 9 tokens behind 550
    narrow = engine(loaded.folder, cache_bytes=1 << 28).forward(rows)
    assert np.abs(narrow - loaded.logits[150:154]).max() < INDEPENDENCE


def drained(steps: Generator[int, None, Logits]) -> tuple[Logits, list[int]]:
    """What a generator returns, and what it yielded."""
    yielded: list[int] = []
    while True:
        try:
            yielded.append(next(steps))
        except StopIteration as end:
            return end.value, yielded


def slice_by(monkeypatch: pytest.MonkeyPatch, tokens: int) -> None:
    """Engines that are made from now on slice their rows so."""
    for name in ("MIN_SLICE_TOKENS", "MAX_SLICE_TOKENS"):
        monkeypatch.setattr(f"rerankd.engines.openvino.decoder_engine.{name}", tokens)


@pytest.mark.parametrize("cache_bytes", [0, 1 << 28])
def test_a_row_in_slices_scores_the_same_while_others_run(
    loaded: Loaded, monkeypatch: pytest.MonkeyPatch, cache_bytes: int
) -> None:
    slice_by(monkeypatch, 37)
    made = engine(loaded.folder, cache_bytes=cache_bytes)
    assert isinstance(made, Sliced)
    assert made.info.slice_tokens == 37
    picked = [i for i in range(150, 158) if loaded.rows[i].tokens > 37]
    assert len(picked) > 3
    for a, b in pairwise(picked):
        one, other = (made.slices(loaded.rows[i]) for i in (a, b))
        first = next(one)
        begun = next(other)
        between = made.forward([loaded.rows[0], loaded.rows[b]])
        scored, steps = drained(one)
        assert sum(steps) + first == loaded.rows[a].tokens
        assert max(steps, default=0) <= 37
        rest, steps = drained(other)
        assert sum(steps) + begun == loaded.rows[b].tokens
        assert scored.shape == rest.shape == (1,)
        expected = loaded.logits[[a, b, 0, b], 0]
        found = np.concatenate([scored, rest, between[:, 0]])
        assert np.abs(found - expected).max() < INDEPENDENCE


def test_a_row_of_3000_tokens_in_slices_scores_as_in_one_call(
    loaded: Loaded, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = prepare(loaded.model, long_items()[0], max_chunks_per_doc=1)[0]
    row = Row(whole.ids[-3000:], 3000)
    calls: list[int] = []

    def counted(own: Sequence[TokenIds], *args: Any, **kwargs: Any) -> dict[str, Any]:
        calls.append(sum(ids.size for ids in own))
        return pack(own, *args, **kwargs)

    monkeypatch.setattr("rerankd.engines.openvino.decoder_engine.pack", counted)
    monkeypatch.setattr("rerankd.engines.openvino.decoder_engine.ATTENTION_BYTES", 1 << 30)
    slice_by(monkeypatch, 3000)
    at_once = engine(loaded.folder, cache_bytes=0).forward([row])
    assert calls == [3000]
    calls.clear()
    slice_by(monkeypatch, 128)
    sliced, steps = drained(engine(loaded.folder, cache_bytes=0).slices(row))
    assert calls == steps == [125] * 24
    assert np.abs(sliced - at_once[0]).max() < INDEPENDENCE


def test_rows_of_one_request_in_slices_compute_its_prefix_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slice_by(monkeypatch, 40)
    model = load_causal_yes_no(write(tmp_path, TINY_QWEN3), name="tiny")
    documents = tuple(Content(value=f"{i} is a document of some words {i}") for i in range(6))
    rows = model.prepare(RerankRequest(query=Content(value="a query"), documents=documents)).rows
    shared = min(row.tokens for row in rows) - 30
    assert shared > 60
    own: list[int] = []

    def counted(own_rows: Sequence[TokenIds], *args: Any, **kwargs: Any) -> dict[str, Any]:
        own.append(sum(ids.size for ids in own_rows))
        return pack(own_rows, *args, **kwargs)

    monkeypatch.setattr("rerankd.engines.openvino.decoder_engine.pack", counted)
    made = model.engine
    assert isinstance(made, DecoderEngine)
    alone = engine(tmp_path, cache_bytes=0).forward(rows)
    own.clear()
    found: list[Logits] = []
    spent: list[int] = []
    for row in rows:
        spent.append(-sum(own))
        found.append(drained(made.slices(row))[0])
        spent[-1] += sum(own)
    assert np.abs(np.array(found) - alone).max() < INDEPENDENCE
    assert spent[0] == rows[0].tokens
    assert max(spent[1:]) <= 30 + 1
    one_by_one = np.concatenate([made.forward([row]) for row in rows])
    assert np.abs(one_by_one - alone).max() < INDEPENDENCE


def test_a_row_left_in_the_middle_frees_its_keys_and_values(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slice_by(monkeypatch, 64)
    made = engine(write(tmp_path, TINY_QWEN3), cache_bytes=0)
    row = Row(np.arange(4000, dtype=np.int32) % 900 + 5, 4000)
    drained(made.slices(Row(row.ids[:200], 200)))  # what stays for good
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        steps = made.slices(row)
        assert [next(steps) for _ in range(3)] == [64, 64, 64]
        held = tracemalloc.get_traced_memory()[0] - before
        steps.close()
        left = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    shape = TINY_QWEN3
    kv = row.tokens * 4 * 2 * shape.layers * shape.kv_heads * shape.head_dim
    assert held >= kv
    assert left < kv / 10


def test_what_a_long_row_freed_is_given_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = [0]

    def give_back() -> None:
        given[0] += 1

    monkeypatch.setattr("rerankd.engines.openvino.decoder_engine.give_back", give_back)
    slice_by(monkeypatch, 128)
    made = engine(write(tmp_path, TINY_QWEN3), cache_bytes=0)
    ids = np.arange(1400, dtype=np.int32) % 900 + 5
    drained(made.slices(Row(ids[:GIVE_BACK_TOKENS], GIVE_BACK_TOKENS)))
    assert given[0] == 1
    drained(made.slices(Row(ids, 1400)))
    assert given[0] == 1 + 1400 // GIVE_BACK_TOKENS + 1
    left = made.slices(Row(ids, 1400))
    next(left)
    left.close()
    assert given[0] == 1 + 1400 // GIVE_BACK_TOKENS + 1 + 1


def test_the_self_check_passes(loaded: Loaded) -> None:
    warnings = self_check(loaded.model)  # made-up weights may rank badly
    assert all("relevant document" in warning for warning in warnings)


def test_the_next_batch_of_a_request_finds_its_prefix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load_causal_yes_no(write(tmp_path, TINY_QWEN3), name="tiny")
    documents = tuple(Content(value=text) for text in ("one", "two words", "three", "4", "", " x"))
    rows = model.prepare(RerankRequest(query=Content(value="a query"), documents=documents)).rows
    computed: list[int] = []

    def counted(own: Sequence[TokenIds], *args: Any, **kwargs: Any) -> dict[str, Any]:
        computed.append(sum(ids.size for ids in own))
        return pack(own, *args, **kwargs)

    monkeypatch.setattr("rerankd.engines.openvino.decoder_engine.pack", counted)
    first = model.engine.forward(rows[:4])
    after_first = sum(computed)
    second = model.engine.forward(rows[4:])
    shared = min(row.tokens for row in rows) - 20
    assert after_first < sum(row.tokens for row in rows[:4]) - 2 * shared
    assert sum(computed) - after_first < 2 * 20 + 4
    computed.clear()
    assert np.abs(model.engine.forward(rows[4:]) - second).max() < INDEPENDENCE
    assert np.abs(model.engine.forward(rows[:4]) - first).max() < INDEPENDENCE


def test_nothing_runs_after_close(tmp_path: Path) -> None:
    model = load_causal_yes_no(write(tmp_path, TINY_QWEN3), name="tiny")
    row = Row(np.array([5, 6, 7], dtype=np.int32), 3)
    assert model.engine.forward([row]).shape == (1, 1)
    assert model.engine.forward([]).shape == (0, 1)
    model.engine.close()
    model.engine.close()
    with pytest.raises(EngineFailed):
        model.engine.forward([row])
    assert isinstance(model.engine, Sliced)
    with pytest.raises(EngineFailed):
        next(model.engine.slices(row))


def test_a_failed_batch_does_not_harm_the_next(tmp_path: Path) -> None:
    model = load_causal_yes_no(write(tmp_path, TINY_QWEN3), name="tiny")
    good = Row(np.array([5, 6, 7, 8], dtype=np.int32), 4)
    before = model.engine.forward([good])
    with pytest.raises(EngineFailed):
        model.engine.forward([good, Row(np.zeros((2, 2), dtype=np.int32), 1)])
    assert np.abs(model.engine.forward([good]) - before).max() < INDEPENDENCE
