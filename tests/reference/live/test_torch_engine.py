"""The torch engine against the same goldens as OpenVINO, and what only it has: OOM, precisions.

Run by `pytest -m reference`, where torch is installed; all on the CPU. What runs on a GPU only
(varlen attention) is checked here for what it is asked, by a plain implementation of its contract.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from rerankd.core.errors import EngineFailed, StartError
from rerankd.core.options import LoadOptions, Precision
from rerankd.core.request import Content, RerankRequest
from rerankd.core.rows import Logits, Row
from rerankd.engines.base import Sliced
from rerankd.models.base import Model
from rerankd.models.causal_yes_no import load_causal_yes_no
from rerankd.models.cross_encoder import load_cross_encoder
from rerankd.models.selfcheck import self_check
from tests.checkpoints import bert as berts
from tests.checkpoints import bert_kin as kin
from tests.checkpoints import decoder as decoders
from tests.checkpoints import modernbert as modernberts
from tests.reference import (
    make_bert_kin_goldens,
    make_decoder_goldens,
    make_goldens,
    make_modernbert_goldens,
)

pytestmark = [pytest.mark.reference, pytest.mark.timeout(1800)]

TOLERANCE = 1e-3  # to transformers, on other kernels
INDEPENDENCE = 1e-5  # to ourselves, in another batch
STEP = {"tiny-qwen3": 4, "tiny-qwen2": 4}  # of the pairs
NAMES = [
    *berts.GOLDEN_SHAPES,
    *kin.GOLDEN_SHAPES,
    *modernberts.GOLDEN_SHAPES,
    *decoders.GOLDEN_SHAPES,
]
Goldens = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Scored:
    """A model of one family on torch, its golden logits, our rows and logits."""

    name: str
    folder: Path
    model: Model
    golden: Goldens
    rows: list[Row]
    logits: Logits


def options(precision: Precision | None = None, device: str | None = "cpu") -> LoadOptions:
    return LoadOptions(engine="torch", device=device, precision=precision)


def write(name: str, folder: Path) -> Path:
    if name in berts.GOLDEN_SHAPES:
        return berts.write(folder, berts.GOLDEN_SHAPES[name])
    if name in kin.GOLDEN_SHAPES:
        return kin.write(folder, kin.GOLDEN_SHAPES[name])
    if name in modernberts.GOLDEN_SHAPES:
        return modernberts.write(folder, modernberts.GOLDEN_SHAPES[name])
    return decoders.write(folder, decoders.GOLDEN_SHAPES[name])


def open_model(name: str, folder: Path, chosen: LoadOptions) -> Model:
    if name in decoders.GOLDEN_SHAPES:
        model = load_causal_yes_no(folder, name=name, options=chosen)
        return model.with_window(make_decoder_goldens.WINDOW_TOKENS)
    return load_cross_encoder(folder, name=name, options=chosen)


def golden(name: str) -> Goldens:
    """Logits (pairs, K) by transformers."""
    if name in decoders.GOLDEN_SHAPES:
        text = make_decoder_goldens.GOLDEN.read_text(encoding="utf-8")
        return np.array(json.loads(text)[name]["pairs"])[:, None]
    if name in modernberts.GOLDEN_SHAPES:
        text = make_modernbert_goldens.GOLDEN.read_text(encoding="utf-8")
        return np.array(json.loads(text)["shapes"][name]["pairs"])
    of = make_bert_kin_goldens if name in kin.GOLDEN_SHAPES else make_goldens
    text = of.GOLDEN.read_text(encoding="utf-8")
    return np.array(json.loads(text)[name]["pairs"])


def requests(name: str) -> list[RerankRequest]:
    if name in decoders.GOLDEN_SHAPES:
        return [
            RerankRequest(
                query=Content(value=item["query"]),
                documents=(Content(value=item["document"]),),
                instruction=item["instruction"],
                max_chunks_per_doc=1,
            )
            for item in make_decoder_goldens.items()
        ]
    return [
        RerankRequest(
            query=Content(value=pair["query"]),
            documents=(Content(value=pair["document"]),),
            max_chunks_per_doc=1,
        )
        for pair in make_goldens.pairs()
    ]


@pytest.fixture(scope="module", params=NAMES)
def scored(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Scored:
    return score(request.param, tmp_path_factory.mktemp(request.param))


def score(name: str, empty: Path) -> Scored:
    step = STEP.get(name, 1)
    folder = write(name, empty)
    model = open_model(name, folder, options())
    rows = [row for each in requests(name)[::step] for row in model.prepare(each).rows]
    return Scored(name, folder, model, golden(name)[::step], rows, model.engine.forward(rows))


def test_every_pair_scores_as_transformers_scores_it(scored: Scored) -> None:
    assert len(scored.golden) >= 10
    assert scored.golden.std(axis=0).min() > 0.3  # else agreement says little
    assert scored.logits.shape == scored.golden.shape
    assert scored.logits.dtype == np.float32
    assert np.abs(scored.logits - scored.golden).max() < TOLERANCE
    info = scored.model.engine.info
    assert (info.name, info.device, info.precision) == ("torch", "cpu", "fp32")


@pytest.mark.parametrize("name", list(decoders.GOLDEN_SHAPES))
def test_a_row_of_a_decoder_in_slices_scores_as_in_one_call(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = load_causal_yes_no(write(name, tmp_path), name=name, options=options()).engine
    ids = (np.arange(3000, dtype=np.int64) ** 2 % 1000).astype(np.int32)
    row, short = Row(ids, 3000), Row(ids[:70], 70)
    at_once, beside = engine.forward([row]), engine.forward([short])
    assert isinstance(engine, Sliced)
    assert engine.info.slice_tokens == 512
    monkeypatch.setattr(engine, "_slice_tokens", 128)
    steps = engine.slices(row)
    for _ in range(24):
        assert next(steps) == 125
        assert np.abs(engine.forward([short]) - beside).max() < INDEPENDENCE
    with pytest.raises(StopIteration) as end:
        next(steps)
    assert end.value.value.shape == (1,)
    assert np.abs(end.value.value - at_once[0]).max() < INDEPENDENCE
    left = engine.slices(row)
    next(left)
    engine.close()
    with pytest.raises(EngineFailed):
        next(left)


def test_logits_do_not_depend_on_batch_mates_or_their_order(scored: Scored) -> None:
    rng = np.random.default_rng(5)
    for _ in range(8):
        picked = rng.permutation(len(scored.rows))[: rng.integers(1, 9)]
        again = scored.model.engine.forward([scored.rows[int(i)] for i in picked])
        assert np.abs(again - scored.logits[picked]).max() < INDEPENDENCE


def test_the_self_check_passes(scored: Scored) -> None:
    warnings = self_check(scored.model)  # made-up weights may rank badly
    assert all("relevant document" in warning for warning in warnings)


def ranks(logits: Logits) -> npt.NDArray[np.intp]:
    return np.argsort(np.argsort(logits[:, -1]))


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_ranks_almost_alike_with_fp32_logits(
    scored: Scored, precision: Precision
) -> None:
    model = open_model(scored.name, scored.folder, options(precision))
    assert model.engine.info.precision == precision
    picked = slice(None, None, max(1, len(scored.rows) // 30))
    half, full = model.engine.forward(scored.rows[picked]), scored.logits[picked]
    assert half.dtype == np.float32
    assert not np.array_equal(half, half.astype(np.float16).astype(np.float32))  # head in fp32
    assert np.abs(half - full).max() > 0  # it is another precision
    assert np.corrcoef(ranks(half), ranks(full))[0, 1] > (0.97 if precision == "bf16" else 0.995)
    self_check(model)


def by_contract(q: Any, k: Any, v: Any, *segments: Any, **more: Any) -> Any:
    """What torch documents of varlen_attn: segment by segment, windows right-aligned."""
    import torch

    ends_q, ends_k, most_q, most_k = segments
    assert set(more) == {"window_size", "enable_gqa", "num_splits"}
    assert ends_q.dtype == ends_k.dtype == torch.int32
    assert q.shape[0] == ends_q[-1]
    assert k.shape[0] == v.shape[0] == ends_k[-1]
    assert most_q == int(ends_q.diff().max())
    assert most_k == int(ends_k.diff().max())
    left, right = more["window_size"]
    group = q.shape[1] // k.shape[1]
    assert more["enable_gqa"] == (group > 1)
    out = torch.empty_like(q)
    spans = zip(ends_q[:-1], ends_q[1:], ends_k[:-1], ends_k[1:], strict=True)
    for q0, q1, k0, k1 in spans:
        own, keys, values = q[q0:q1], k[k0:k1], v[k0:k1]
        keys, values = (x.repeat_interleave(group, dim=1) for x in (keys, values))
        scores = torch.einsum("qad,kad->aqk", own, keys) * q.shape[2] ** -0.5
        at = torch.arange(q1 - q0)[:, None] + (k1 - k0) - (q1 - q0)
        place = torch.arange(k1 - k0)[None, :]
        hidden = torch.zeros(int(q1 - q0), int(k1 - k0), dtype=torch.bool)
        if left >= 0:
            hidden |= place < at - left
        if right >= 0:
            hidden |= place > at + right
        weights = scores.masked_fill(hidden, float("-inf")).softmax(-1)
        out[q0:q1] = torch.einsum("aqk,kad->qad", weights, values)
    return out


def test_varlen_attention_is_asked_for_the_same_as_padded(
    scored: Scored, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rerankd.engines.torch import attention

    real = attention.varlen_function()
    assert real is not None  # this version of torch has it, and with the arguments we give

    def always(*args: Any) -> bool:
        return True

    monkeypatch.setattr(attention, "_varlen_takes", always)
    monkeypatch.setattr(attention, "varlen_function", lambda: by_contract)
    picked = list(range(0, len(scored.rows), max(1, len(scored.rows) // 12)))
    ours = scored.model.engine.forward([scored.rows[i] for i in picked])
    assert np.abs(ours - scored.logits[picked]).max() < INDEPENDENCE


def test_masks_in_small_steps_change_nothing(
    scored: Scored, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rerankd.engines.torch import attention

    monkeypatch.setattr(attention, "MASK_SLOTS", 1)
    # It is 64 when served. In steps of some fewer queries the products round otherwise: 1.3e-5.
    monkeypatch.setattr(attention, "MIN_QUERIES", 17)
    monkeypatch.setattr(attention, "RECTANGLE_TOKENS", {"cpu": 600})
    picked = list(range(0, len(scored.rows), max(1, len(scored.rows) // 12)))
    ours = scored.model.engine.forward([scored.rows[i] for i in picked])
    assert np.abs(ours - scored.logits[picked]).max() < INDEPENDENCE


class Small:
    """A network with room for so many rows; counts what it was given."""

    def __init__(self, real: Any, room: int, error: Exception) -> None:
        self.real, self.room, self.error = real, room, error
        self.ran: list[int] = []

    def __call__(self, rows: Sequence[Row], groups: Sequence[Any]) -> Any:
        count = sum(len(group.members) for group in groups)
        self.ran.append(count)
        if count > self.room:
            raise self.error
        return self.real(rows, groups)


def out_of_memory(kind: str) -> Exception:
    import torch

    if kind == "cpu":
        return RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate")
    return torch.OutOfMemoryError("CUDA out of memory.")


@pytest.mark.parametrize("kind", ["cuda", "cpu"])
@pytest.mark.parametrize("name", ["tiny-xlmr", "tiny-qwen3"])
def test_a_batch_that_does_not_fit_is_split_and_answered(
    name: str, kind: str, tmp_path: Path
) -> None:
    model = open_model(name, write(name, tmp_path), options())
    rows = [row for each in requests(name)[:11] for row in model.prepare(each).rows]
    engine: Any = model.engine
    expected = engine.forward(rows)
    real = engine._network
    engine._network = small = Small(real, 2, out_of_memory(kind))
    assert np.abs(engine.forward(rows) - expected).max() < INDEPENDENCE
    assert max(small.ran) > 2
    assert sum(count for count in small.ran if count <= 2) == len(rows)  # each answered once
    engine._network = Small(real, 0, out_of_memory(kind))
    with pytest.raises(EngineFailed, match=f"no room for a row of {rows[0].tokens} tokens"):
        engine.forward(rows[:1])
    engine._network = real
    assert np.abs(engine.forward(rows) - expected).max() < INDEPENDENCE


def test_another_error_is_not_tried_again(tmp_path: Path) -> None:
    model = open_model("tiny-xlmr", write("tiny-xlmr", tmp_path), options())
    row = Row(np.array([2, 5, 3], dtype=np.int32), 3)
    engine: Any = model.engine
    engine._network = small = Small(None, 0, RuntimeError("device-side assert"))
    with pytest.raises(EngineFailed, match="device-side assert"):
        engine.forward([row, row])
    assert small.ran == [2]


def test_bad_rows_are_refused_before_they_reach_the_device(tmp_path: Path) -> None:
    model = open_model("tiny-xlmr", write("tiny-xlmr", tmp_path), options())
    good = Row(np.array([2, 5, 3], dtype=np.int32), 3)
    before = model.engine.forward([good])
    for ids in ([[1, 2]], [-1], [1 << 20], [], [5] * 2000):
        with pytest.raises(EngineFailed, match="row"):
            model.engine.forward([good, Row(np.array(ids, dtype=np.int32), 0)])
    np.testing.assert_array_equal(model.engine.forward([good]), before)
    assert model.engine.forward([]).shape == (0, 1)
    model.engine.close()
    model.engine.close()
    with pytest.raises(EngineFailed, match="closed"):
        model.engine.forward([good])


@pytest.mark.parametrize("device", ["cuda:99", "nonsense", "meta", ""])
def test_a_device_that_is_not_there_is_refused_at_start(device: str, tmp_path: Path) -> None:
    folder = write("tiny-xlmr", tmp_path)
    with pytest.raises(StartError, match=r"finds cpu.*pytorch\.org"):
        open_model("tiny-xlmr", folder, options(device=device))


def test_fp32_is_exact_whatever_the_host_has_set_and_its_setting_comes_back(
    tmp_path: Path,
) -> None:
    import torch

    model = open_model("tiny-xlmr", write("tiny-xlmr", tmp_path), options())
    engine: Any = model.engine
    real, seen = engine._network, list[str]()

    def spy(*args: Any) -> Any:
        seen.append(torch.get_float32_matmul_precision())
        return real(*args)

    engine._network = spy
    torch.set_float32_matmul_precision("medium")
    try:
        engine.forward([Row(np.array([2, 5, 3], dtype=np.int32), 3)])
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision("highest")
    assert seen == ["highest"]
