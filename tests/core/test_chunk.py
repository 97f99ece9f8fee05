"""The laws of chunking."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerankd.core.chunk import chunk, chunk_count, used_overlap

lengths = st.integers(0, 5000)
windows = st.integers(1, 600)
overlaps = st.integers(0, 200)
ALL = 10**6


@given(lengths, windows, overlaps, st.booleans())
def test_chunks_cover_every_token_and_none_is_over_the_window(
    length: int,
    window: int,
    overlap: int,
    right: bool,  # noqa: FBT001 - drawn by hypothesis
) -> None:
    cut = chunk(
        length,
        window_tokens=window,
        overlap_tokens=overlap,
        max_chunks=ALL,
        right_align_last=right,
    )
    covered = {i for start, end in cut.spans for i in range(start, end)}
    assert covered == set(range(length))
    assert all(0 <= end - start <= window for start, end in cut.spans)
    assert not cut.truncated


@given(lengths, windows, overlaps)
def test_neighbours_share_exactly_the_overlap(length: int, window: int, overlap: int) -> None:
    cut = chunk(length, window_tokens=window, overlap_tokens=overlap, max_chunks=ALL)
    shared = min(overlap, window // 4)
    assert used_overlap(overlap, window) == shared
    for (_, end), (start, _) in zip(cut.spans, cut.spans[1:], strict=False):
        assert end - start == shared


@given(lengths, windows, overlaps)
def test_the_number_of_chunks_is_the_published_formula(
    length: int, window: int, overlap: int
) -> None:
    wanted = 1
    if length > window:
        wanted += math.ceil((length - window) / (window - min(overlap, window // 4)))
    cut = chunk(length, window_tokens=window, overlap_tokens=overlap, max_chunks=ALL)
    assert len(cut.spans) == wanted
    assert chunk_count(length, window_tokens=window, overlap_tokens=overlap) == wanted


@given(lengths, windows, overlaps, st.integers(1, 20))
def test_max_chunks_keeps_a_prefix_and_says_so(
    length: int, window: int, overlap: int, most: int
) -> None:
    whole = chunk(length, window_tokens=window, overlap_tokens=overlap, max_chunks=ALL)
    cut = chunk(length, window_tokens=window, overlap_tokens=overlap, max_chunks=most)
    assert cut.spans == whole.spans[:most]
    assert cut.truncated == (len(whole.spans) > most)


@given(lengths, windows, overlaps)
def test_right_aligned_last_chunk_is_full_and_the_others_do_not_move(
    length: int, window: int, overlap: int
) -> None:
    plain = chunk(length, window_tokens=window, overlap_tokens=overlap, max_chunks=ALL)
    right = chunk(
        length,
        window_tokens=window,
        overlap_tokens=overlap,
        max_chunks=ALL,
        right_align_last=True,
    )
    assert right.spans[:-1] == plain.spans[:-1]
    assert right.spans[-1] == (max(0, length - window), length)


@pytest.mark.parametrize(
    ("length", "spans"),
    [
        (0, ((0, 0),)),
        (100, ((0, 100),)),
        (101, ((0, 100), (75, 101))),
        (175, ((0, 100), (75, 175))),
        (176, ((0, 100), (75, 175), (150, 176))),
    ],
    ids=["empty", "just fits", "one over", "two full", "third begins"],
)
def test_starts_follow_the_stride(length: int, spans: tuple[tuple[int, int], ...]) -> None:
    assert chunk(length, window_tokens=100, overlap_tokens=80, max_chunks=ALL).spans == spans


@pytest.mark.parametrize(
    ("length", "window", "overlap", "most"),
    [(-1, 1, 0, 1), (1, 0, 0, 1), (1, 1, -1, 1), (1, 1, 0, 0)],
)
def test_arguments_out_of_range_are_refused(
    length: int, window: int, overlap: int, most: int
) -> None:
    with pytest.raises(ValueError, match="need length"):
        chunk(length, window_tokens=window, overlap_tokens=overlap, max_chunks=most)
