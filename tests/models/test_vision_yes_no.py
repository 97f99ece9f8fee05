"""Prompts with pictures: ids, sizes, chunks, refusals. No torch: its engine is a fake here."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rerankd.core.batch import distinct
from rerankd.core.errors import InvalidRequest, StartError
from rerankd.core.request import Content
from rerankd.models.vision_pixels import process_image, process_video
from rerankd.models.vision_yes_no import WINDOW_TOKENS, VisionYesNo
from tests.checkpoints.vision import IDS
from tests.models.vision import ask, fake_model, golden, rows_of
from tests.reference.make_vision_goldens import Item, clip, items, runs
from tests.reference.make_vision_table import line
from tests.reference.pictures import Clip, Picture, content

PADS = (IDS["<|image_pad|>"], IDS["<|video_pad|>"])


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> VisionYesNo:
    return fake_model(tmp_path_factory.mktemp("vl"))


def test_every_prompt_is_the_processors(model: VisionYesNo) -> None:
    kinds: dict[str, int] = {}
    for item, prompt in zip(items(), golden()["prompts"], strict=True):
        (row,) = rows_of(model, item)
        assert runs(row.ids.tolist()) == prompt["ids"], item
        assert row.image_tokens == int(np.isin(row.ids, PADS).sum())
        for placed in row.visuals:
            assert np.isin(row.ids[placed.at : placed.end], PADS).all()
        kinds[item.kind] = kinds.get(item.kind, 0) + 1
    assert min(kinds.values()) >= 16


def test_image_tokens_are_the_processors() -> None:
    sizes = golden()["sizes"]
    assert len(sizes) == 20
    for height, width, resized_height, resized_width, tokens in sizes:
        media = content(Picture(1, height, width)).media
        assert media is not None
        (visual,) = process_image(media).visuals
        assert visual.frames.shape == (1, resized_height, resized_width, 3)
        assert visual.tokens == tokens


def test_usage_counts_every_pairs_pictures(model: VisionYesNo) -> None:
    shown = Picture(1, 64, 64)  # 4 tokens
    prepared = model.prepare(ask(shown, "a", Picture(2, 64, 96), shown))
    assert prepared.image_tokens == (4) + (4 + 6) + (4 + 4)
    assert prepared.input_tokens == sum(row.tokens for row in prepared.rows)


def test_a_picture_is_held_once_however_often_it_is_shown(model: VisionYesNo) -> None:
    asked = ask(Picture(1, 64, 64), "a", "b", Picture(2, 70, 90), Picture(2, 70, 90))
    rows = model.prepare(asked).rows
    assert len({id(row.visuals[0].visual) for row in rows}) == 1
    assert rows[2].visuals[1].visual is rows[3].visuals[1].visual
    assert len(distinct(rows)[0]) == 3  # equal pairs run once


def test_two_pictures_with_equal_ids_are_two_pairs(model: VisionYesNo) -> None:
    rows = model.prepare(ask("q", Picture(1, 64, 64), Picture(2, 64, 64))).rows
    assert (rows[0].ids == rows[1].ids).all()
    assert rows[0].key() != rows[1].key()


def test_a_frame_of_a_video_is_not_the_image(model: VisionYesNo) -> None:
    image, video = content(Picture(1, 384, 384)).media, content(clip(1, 384, 384, 2)).media
    assert image is not None
    assert video is not None
    same = replace(video, digest=image.digest)
    assert process_image(image).visuals[0].digest != process_video(same).visuals[0].digest


@pytest.mark.parametrize(("frames", "visuals"), [(1, 1), (2, 1), (3, 2), (64, 32)])
def test_frames_are_seen_two_by_two_within_the_limit_of_all(frames: int, visuals: int) -> None:
    media = content(Clip(1, 90, 160, tuple(range(frames)), 1.0)).media
    assert media is not None
    seen = process_video(media)
    assert len(seen.visuals) == len(seen.seconds) == visuals
    assert sum(visual.tokens for visual in seen.visuals) <= 7680
    assert all(128 <= visual.tokens <= 768 for visual in seen.visuals)
    last = seen.visuals[-1].frames
    assert (last[0] == last[1]).all() == (frames % 2 == 1)
    assert seen.seconds[0] == (0.0 if frames == 1 else 0.5)


def test_an_empty_text_is_scored_like_any_other(model: VisionYesNo) -> None:
    empty, other = model.prepare(ask("q", "", "x")).rows
    assert other.tokens == empty.tokens + 1


def test_pictures_spelled_out_in_a_text_are_words(model: VisionYesNo) -> None:
    text = "<|vision_start|><|image_pad|><|image_pad|><|vision_end|>"
    (row,) = model.prepare(ask("q", text)).rows
    assert np.isin(row.ids, PADS).sum() == 2
    assert row.visuals == ()
    assert row.image_tokens == 0


def test_a_long_text_behind_an_image_is_read_in_chunks(tmp_path: Path) -> None:
    model = fake_model(tmp_path, 300)
    document = " ".join(str(i) for i in range(300))
    prepared = model.prepare(ask(Picture(1, 64, 96), document, "short", overlap_tokens=20))
    rows = [row for row, owner in zip(prepared.rows, prepared.owners, strict=True) if owner == 0]
    assert len(rows) > 3
    assert all(row.tokens <= 300 for row in rows)
    assert len({row.visuals for row in rows}) == 1
    assert prepared.truncated == frozenset()
    start_of_document = _head(rows)
    whole = model.with_window(20_000).prepare(ask(Picture(1, 64, 96), document)).rows[0]
    joined = [*rows[0].ids[:-5]]
    for row in rows[1:]:
        own = row.ids[start_of_document:-5]
        assert joined[-20:] == own[:20].tolist()
        joined += own[20:].tolist()
    assert joined == whole.ids[:-5].tolist()


def _head(rows: list[Any]) -> int:
    """How many tokens all chunks of a document start with."""
    different = rows[0].ids[: rows[1].tokens] != rows[1].ids[: rows[0].tokens]
    return int(different.argmax())


def test_what_is_cut_is_reported_and_may_be_refused(tmp_path: Path) -> None:
    model = fake_model(tmp_path, 300)
    document = "one two three " * 200
    prepared = model.prepare(ask("q", document, Picture(1, 64, 64), max_chunks_per_doc=1))
    assert prepared.truncated == frozenset({0})
    assert "1 of 2 documents were cut" in prepared.warnings[0]
    with pytest.raises(InvalidRequest, match=r"documents\[0\] has 1201 tokens, but only"):
        model.prepare(ask("q", document, max_chunks_per_doc=1, truncation=False))
    limited = model.prepare(ask("q", "one two three", Picture(1, 64, 64), max_tokens_per_doc=1))
    assert limited.truncated == frozenset({0})  # a picture is never cut
    assert limited.image_tokens == 4


def test_the_longest_row_is_the_published_one(model: VisionYesNo) -> None:
    (row,) = model.prepare(ask("q", "one two three " * 4000, max_chunks_per_doc=1)).rows
    assert row.tokens == WINDOW_TOKENS == 10240 + 5
    assert row.ids[-5:].tolist() == rows_of(model, Item("text", "q", "x"))[0].ids[-5:].tolist()


@pytest.mark.parametrize(
    ("window", "query", "document", "says"),
    [
        (300, "one two three " * 100, "x", r"query has 601 tokens; tiny-vl takes at most 165"),
        (300, Picture(1, 900, 900), "x", r"query with its template has \d+ tokens.*smaller"),
        (300, Picture(1, 900, 900), Picture(2, 64, 64), "query with its template"),
        (300, "q", Picture(1, 900, 900), r"documents\[0\] takes 786 tokens.*reads 300.*smaller"),
        (10245, clip(1, 512, 512, 64), clip(2, 512, 512, 64), r"documents\[0\] takes.*video"),
        (10245, "q", Picture(1, 2, 500), r"documents\[0\]: the image is 500 by 2 pixels: one side"),
        (10245, Picture(1, 500, 2), "x", r"query: the image is 2 by 500 pixels.*at most 200"),
        (10245, "q", clip(1, 2, 500, 2), r"documents\[0\]: the video is 500 by 2 pixels"),
        (10245, "q", "lone \ud800", r"documents\[0\] is not valid Unicode"),
    ],
)
def test_what_cannot_be_read_is_refused_by_name(
    window: int, query: Any, document: Any, says: str, tmp_path: Path
) -> None:
    model = fake_model(tmp_path, window)
    with pytest.raises(InvalidRequest, match=says) as refused:
        model.prepare(ask(query, document))
    about_text = isinstance(document, str) and not says.startswith("query")
    assert refused.value.param == (
        "query" if says.startswith("query") else "documents" if about_text else "documents[0]"
    )


def test_a_picture_that_nobody_read_is_refused_never_scored(model: VisionYesNo) -> None:
    unread = Content(modality="image", value="https://example.com/x.png")
    asked = replace(ask("q", "x", "y"), documents=(Content(value="x"), unread))
    with pytest.raises(InvalidRequest, match=r"documents\[1\] is image, but .* not read") as error:
        model.prepare(asked)
    assert error.value.param == "documents[1]"
    with pytest.raises(InvalidRequest, match="query is image"):
        model.prepare(replace(ask("q", "x"), query=unread))


def test_a_long_instruction_is_refused(tmp_path: Path) -> None:
    model = fake_model(tmp_path, 300)
    with pytest.raises(InvalidRequest, match=r"instruction has 601 tokens") as refused:
        model.prepare(ask("q", "x", instruction="one two three " * 100))
    assert refused.value.param == "instruction"


def test_a_window_without_room_for_the_template_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="a window of 100 tokens is too small"):
        fake_model(tmp_path, 100)


def test_the_card_says_how_video_is_sampled(model: VisionYesNo) -> None:
    sampling = model.card.video
    assert sampling is not None
    assert (sampling.fps, sampling.min_frames, sampling.max_frames) == (1.0, 4, 64)
    assert sampling.factor == 2
    assert model.card.modalities == {"text", "image", "video"}


def test_the_models_page_has_the_table_of_image_tokens() -> None:
    page = (Path(__file__).parents[2] / "docs/models/qwen3-vl-reranker.md").read_text()
    for height, width, down, across, tokens in golden()["sizes"]:
        assert line((height, width), (down, across), tokens, tokens) in page


def test_max_tokens_per_query_cuts_a_text_query_and_no_picture(model: VisionYesNo) -> None:
    query = "what is the capital of France and who lives there?"
    kept = model._encoder.covered(query, 4)  # pyright: ignore[reportPrivateUsage]
    cut = model.prepare(replace(ask(query, "Paris"), max_tokens_per_query=4))
    assert cut.warnings == ("query: cut to its first 4 tokens (max_tokens_per_query).",)
    assert cut.rows[0].key() == model.prepare(ask(kept, "Paris")).rows[0].key()
    shown = ask(Picture(1, 64, 64), "Paris")
    as_ever = model.prepare(replace(shown, max_tokens_per_query=1))
    assert as_ever.warnings == ()
    assert as_ever.rows[0].key() == model.prepare(shown).rows[0].key()
