"""Qwen3-VL on the torch engine: goldens, live transformers, company, sharing, out of memory.

Run by `pytest -m reference`, where torch is installed; all on the CPU. Prompts, sizes and positions
are also tested without torch: tests/models/test_vision_yes_no.py, tests/engines/test_visuals.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from rerankd.core.errors import EngineFailed
from rerankd.core.options import LoadOptions, Precision
from rerankd.core.rows import Logits, Row
from rerankd.core.visual import Placed, Visual
from rerankd.models.base import pointwise
from rerankd.models.load import Spec, load
from rerankd.models.selfcheck import self_check
from rerankd.models.vision_yes_no import VisionYesNo, load_vision_yes_no
from tests.checkpoints.vision import GOLDEN_SHAPES, TINY, write
from tests.models.vision import ask, golden, rows_of
from tests.reference.live.test_torch_engine import Small, by_contract, options, out_of_memory, ranks
from tests.reference.make_vision_goldens import (
    CHUNK_TOKENS,
    OVERLAP_TOKENS,
    SIZES,
    Item,
    Reference,
    clip,
    items,
    long_items,
    runs,
)
from tests.reference.pictures import Picture

pytestmark = [pytest.mark.reference, pytest.mark.timeout(1800)]

TOLERANCE = 1e-3  # to transformers, on other kernels
INDEPENDENCE = 1e-5  # to ourselves, in another batch
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Scored:
    """A checkpoint of one shape, its golden logits, our rows and logits, each row alone."""

    name: str
    folder: Path
    model: VisionYesNo
    golden: Floats
    kinds: list[str]
    rows: list[Row]
    alone: Logits


@pytest.fixture(scope="module", params=list(GOLDEN_SHAPES))
def scored(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Scored:
    name: str = request.param
    folder = write(tmp_path_factory.mktemp(name), GOLDEN_SHAPES[name])
    model = load_vision_yes_no(folder, name=name, options=options())
    rows = [row for item in items() for row in rows_of(model, item)]
    alone = np.concatenate([model.engine.forward([row]) for row in rows])
    kinds = [item.kind for item in items()]
    return Scored(name, folder, model, np.array(golden()[name]["pairs"]), kinds, rows, alone)


def test_every_pair_scores_as_transformers_scores_it_alone_and_batched(scored: Scored) -> None:
    together = scored.model.engine.forward(scored.rows)
    assert scored.golden.std() > 0.5  # else agreement says little
    for kind in ("text", "image", "mixed", "video"):
        picked = [i for i, each in enumerate(scored.kinds) if each == kind]
        assert len(picked) >= 16
        assert scored.golden[picked].std() > 0.1
        for ours in (scored.alone, together):
            error = np.abs(ours[picked, 0] - scored.golden[picked]).max()
            print(f"{scored.name} {kind}: {len(picked)} pairs, {error:.1e}")  # noqa: T201 - pytest -rP
            assert error < TOLERANCE
    assert together.dtype == np.float32
    info = scored.model.engine.info
    assert (info.name, info.device, info.precision) == ("torch", "cpu", "fp32")


def test_goldens_are_what_live_transformers_says(scored: Scored) -> None:
    reference = Reference(scored.folder)
    known = golden()
    for i in range(0, len(items()), 5):
        item = items()[i]
        inputs = reference.inputs(item)
        assert runs(inputs["input_ids"][0].tolist()) == known["prompts"][i]["ids"]
        assert abs(reference.logit(inputs) - scored.golden[i]) < 1e-4
        if known["prompts"][i]["positions"]:
            assert reference.positions(inputs) == known["prompts"][i]["positions"]
    assert [[*size, *reference.image_tokens(*size)] for size in SIZES] == known["sizes"]


def test_large_images_and_many_frames_score_as_live_transformers_scores_them(
    scored: Scored,
) -> None:
    reference = Reference(scored.folder)
    large = [
        Item("image", "a query", Picture(1, 1080, 1920)),
        Item("image", Picture(2, 900, 400), Picture(3, 700, 800)),
        Item("video", "a query", clip(4, 200, 260, 16, 29.97)),
    ]
    for item in large:
        (row,) = rows_of(scored.model, item)
        assert row.image_tokens > 800
        ours = float(scored.model.engine.forward([row])[0, 0])
        assert abs(ours - reference.pair(item)) < TOLERANCE


def test_a_text_that_is_cut_is_the_published_one(scored: Scored) -> None:
    item = Item("text", "a query", "one two three " * 4000)
    (row,) = rows_of(scored.model, item)
    wanted = Reference(scored.folder).truncated(item)
    assert len(wanted) == 10245
    assert row.ids.tolist() == wanted


def test_chunks_score_as_the_chunks_done_by_hand(scored: Scored) -> None:
    model = scored.model.with_window(CHUNK_TOKENS)
    for item, by_hand in zip(long_items(), golden()[scored.name]["chunks"], strict=True):
        rows = rows_of(model, item, max_chunks_per_doc=1024, overlap_tokens=OVERLAP_TOKENS)
        ours = model.engine.forward(rows)[:, 0]
        assert len(rows) == len(by_hand) >= 10
        np.testing.assert_allclose(ours, by_hand, rtol=0, atol=TOLERANCE)


def test_logits_do_not_depend_on_batch_mates_or_their_order(scored: Scored) -> None:
    rng = np.random.default_rng(5)
    for _ in range(12):
        picked = rng.permutation(len(scored.rows))[: rng.integers(1, 24)]
        again = scored.model.engine.forward([scored.rows[int(i)] for i in picked])
        assert np.abs(again - scored.alone[picked]).max() < INDEPENDENCE


def test_an_image_query_with_image_documents_scores_as_its_pairs_alone(scored: Scored) -> None:
    """Images of one size: equal ids in every row, so only the pixels tell them apart."""
    model = scored.model
    query, documents = Picture(1, 96, 96), [Picture(10 + i, 96, 96) for i in range(12)]
    rows = model.prepare(ask(query, *documents)).rows
    assert len({row.ids.tobytes() for row in rows}) == 1
    together = model.engine.forward(rows)
    for order in (list(range(12))[::-1], [3, 1, 4, 1, 5, 9, 2, 6]):
        again = model.engine.forward([rows[i] for i in order])
        assert np.abs(again - together[order]).max() < INDEPENDENCE
    alone = np.concatenate([model.engine.forward([row]) for row in rows])
    assert np.abs(alone - together).max() < INDEPENDENCE
    assert np.unique(together.round(4)).size == 12
    reference = Reference(scored.folder)
    live = [reference.pair(Item("image", query, document)) for document in documents]
    assert np.abs(together[:, 0] - live).max() < TOLERANCE


class Looked:
    """A vision tower that remembers what it was shown."""

    def __init__(self, real: Any) -> None:
        self.real = real
        self.calls: list[list[bytes]] = []

    def __call__(self, visuals: Sequence[Visual]) -> Any:
        self.calls.append([visual.digest for visual in visuals])
        return self.real(visuals)


def test_a_picture_is_looked_at_once_in_a_call(scored: Scored) -> None:
    model, network = scored.model, getattr(scored.model.engine, "_network")  # noqa: B009
    real = network._tower
    network._tower = looked = Looked(real)
    try:
        texts = [f"document {i}" for i in range(6)]
        model.engine.forward(model.prepare(ask(Picture(1, 64, 64), *texts)).rows)
        shown = [Picture(2, 64, 64), Picture(3, 64, 64), Picture(2, 64, 64)]
        model.engine.forward(model.prepare(ask(Picture(1, 64, 64), *shown)).rows)
        model.engine.forward(model.prepare(ask("a query", "a text")).rows)
    finally:
        network._tower = real
    assert [len(call) for call in looked.calls] == [1, 3]
    assert all(len(set(call)) == len(call) for call in looked.calls)


def test_the_prefix_with_the_querys_image_is_in_the_call_once(
    scored: Scored, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rerankd.engines.torch import qwen_vl

    real, packed = qwen_vl.causal, list[Any]()

    def spy(*args: Any) -> Any:
        packed.append(real(*args))
        return packed[-1]

    monkeypatch.setattr(qwen_vl, "causal", spy)
    rows = scored.model.prepare(ask(Picture(1, 256, 256), *(f"{i} apples" for i in range(8)))).rows
    scored.model.engine.forward(rows)
    tokens = sum(len(each.ids) for each in packed)
    assert tokens < rows[0].tokens + 8 * 20 < sum(row.tokens for row in rows) / 3


def test_passes_of_the_tower_change_nothing(
    scored: Scored, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rerankd.engines.torch import vision

    monkeypatch.setattr(vision, "PASS_PATCHES", {"cpu": 100})
    picked = [i for i, row in enumerate(scored.rows) if row.visuals][::4]
    ours = scored.model.engine.forward([scored.rows[i] for i in picked])
    assert np.abs(ours - scored.alone[picked]).max() < INDEPENDENCE


def test_varlen_attention_is_asked_for_the_same_as_padded(
    scored: Scored, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rerankd.engines.torch import attention

    def always(*args: Any) -> bool:
        return True

    monkeypatch.setattr(attention, "_varlen_takes", always)
    monkeypatch.setattr(attention, "varlen_function", lambda: by_contract)
    picked = [i for i, row in enumerate(scored.rows) if row.visuals][::5]
    ours = scored.model.engine.forward([scored.rows[i] for i in picked])
    assert np.abs(ours - scored.alone[picked]).max() < INDEPENDENCE


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_ranks_almost_alike_with_fp32_logits(
    scored: Scored, precision: Precision
) -> None:
    model = load_vision_yes_no(scored.folder, name="tiny", options=options(precision))
    assert model.engine.info.precision == precision
    half, full = model.engine.forward(scored.rows[::3]), scored.alone[::3]
    assert half.dtype == np.float32
    assert 0 < np.abs(half - full).max() < 0.5
    assert np.corrcoef(ranks(half), ranks(full))[0, 1] > (0.97 if precision == "bf16" else 0.995)
    self_check(model)


@pytest.mark.parametrize("kind", ["cuda", "cpu"])
def test_a_batch_that_does_not_fit_is_split_and_answered(scored: Scored, kind: str) -> None:
    rows = scored.rows[48:59]
    engine: Any = scored.model.engine
    real = engine._network
    try:
        engine._network = small = Small(real, 2, out_of_memory(kind))
        assert np.abs(engine.forward(rows) - scored.alone[48:59]).max() < INDEPENDENCE
        assert max(small.ran) > 2
        engine._network = Small(real, 0, out_of_memory(kind))
        with pytest.raises(EngineFailed, match=f"no room for a row of {rows[0].tokens} tokens"):
            engine.forward(rows[:1])
    finally:
        engine._network = real


def test_rows_with_misplaced_pictures_never_reach_the_device(scored: Scored) -> None:
    good = scored.rows[50]
    placed = good.visuals[0]
    wrong = [
        Placed(placed.visual, good.tokens - 1),
        Placed(Visual(frames=placed.visual.frames, grid=(9, 9), digest=b"x"), placed.at),
    ]
    for each in wrong:
        with pytest.raises(EngineFailed, match="a row has a picture"):
            scored.model.engine.forward([good, Row(good.ids, good.second, visuals=(each,))])
    assert np.abs(scored.model.engine.forward([good]) - scored.alone[50]).max() < INDEPENDENCE


def test_a_model_without_eyes_refuses_a_picture(scored: Scored, tmp_path: Path) -> None:
    from tests.checkpoints.bert import TINY_BERT
    from tests.checkpoints.bert import write as write_encoder

    spec = Spec(name="x", folder=write_encoder(tmp_path, TINY_BERT), options=options())
    engine = pointwise(load(spec).model).engine
    ids = np.array([2, 5, 3], dtype=np.int32)
    with pytest.raises(EngineFailed, match="does not see"):
        engine.forward([Row(ids, 3, visuals=(scored.rows[50].visuals[0],))])


def test_it_is_served_without_a_word_about_the_engine(tmp_path: Path) -> None:
    """As an operator has it who only names the folder: torch by itself, self-check passed."""
    loaded = load(Spec(name="tiny", folder=write(tmp_path, TINY), options=LoadOptions()))
    assert loaded.model.engine.info.name == "torch"
    assert all("relevant document" in warning for warning in loaded.warnings)  # made-up weights
    chosen = LoadOptions(engine="torch", device="cpu", precision="bf16")
    assert (
        load(Spec(name="t", folder=tmp_path, options=chosen)).model.engine.info.precision == "bf16"
    )
