"""Packing rows: positions, slots and token types."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rerankd.core.rows import Row
from rerankd.engines.encoder import Architecture, EncoderConfig
from rerankd.engines.pack import SLOT_STEP, pack

rows = st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=20), min_size=1, max_size=8)


def config(architecture: Architecture) -> EncoderConfig:
    return EncoderConfig(
        architecture=architecture,
        hidden=8,
        layers=1,
        heads=2,
        intermediate=8,
        vocab=10,
        positions=64,
        token_types=2,
        layer_norm_eps=1e-12,
        labels=1,
        pad_id=1,
    )


def row(ids: list[int], second: int | None = None) -> Row:
    return Row(np.array(ids, dtype=np.int32), len(ids) if second is None else second)


@given(rows)
def test_slots_and_tokens_undo_each_other(batch: list[list[int]]) -> None:
    packed = pack([row(ids) for ids in batch], config("bert"))
    rows, width = packed["slots"].shape
    assert rows == len(batch)
    assert max(map(len, batch)) <= width < max(map(len, batch)) + SLOT_STEP
    assert width % SLOT_STEP == 0
    assert packed["slots"].ravel()[packed["tokens"]].tolist() == list(range(packed["ids"].size))
    for ids, first, length in zip(batch, packed["first"], packed["lengths"], strict=True):
        assert packed["ids"][first : first + length].tolist() == ids


@given(rows)
def test_bert_positions_count_from_zero(batch: list[list[int]]) -> None:
    packed = pack([row(ids) for ids in batch], config("bert"))
    assert packed["positions"].tolist() == [i for ids in batch for i in range(len(ids))]


@given(rows)
def test_roberta_positions_skip_the_pad_id(batch: list[list[int]]) -> None:
    """As transformers' create_position_ids_from_input_ids, row by row."""
    wanted: list[int] = []
    for ids in batch:
        real = np.array(ids) != 1
        wanted += (np.cumsum(real) * real + 1).tolist()
    packed = pack([row(ids) for ids in batch], config("xlm-roberta"))
    assert packed["positions"].tolist() == wanted


def test_token_types_start_at_the_second_segment() -> None:
    packed = pack([row([1, 2, 3], 1), row([4, 5]), row([6, 7], 1)], config("bert"))
    assert packed["types"].tolist() == [0, 1, 1, 0, 0, 0, 1]
