"""Words that an encoder finds alike: where they stand, from vectors that are kept, bounded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rerankd.core.explanation import Explanation, Span
from rerankd.core.request import Content, RerankRequest
from rerankd.engines.alignment import KeptVectors, Pair, nearest
from rerankd.models import word_matches
from rerankd.models.base import AnyModel, outputs_of
from rerankd.models.colbert import load_colbert
from rerankd.models.explain import explanations
from rerankd.models.folder_word import read_word
from rerankd.models.loaders import Opening
from rerankd.models.meaning_matches import FLOOR, MOST, ReadText, meaning_matches
from rerankd.models.mini import load_mini
from rerankd.models.segment import Segmenter
from rerankd.models.text_encoder import TextEncoder
from rerankd.models.vision_yes_no import VisionYesNo
from tests.checkpoints import colbert
from tests.models.test_text_encoder import encoder_of
from tests.models.vision import ask, fake_model
from tests.reference.pictures import Picture

QUERY = "Which city is the capital of Japan?"
LONG = (
    " ".join(f"Line {i} is of no use." for i in range(40)) + " zebra crossing " + "and so on " * 9
)


def told(model: AnyModel, query: str, *documents: str, **fields: Any) -> Sequence[Explanation]:
    contents = tuple(Content(value=each) for each in documents)
    request = RerankRequest(query=Content(value=query), documents=contents, explain=True, **fields)
    prepared = model.prepare(request)
    outputs = outputs_of(model, prepared.rows)
    found = explanations(model, request, prepared, outputs, range(len(documents)), lambda: None)
    return [found[i] for i in range(len(documents))]


def shown(found: Explanation, query: str, document: str) -> list[tuple[str, str]]:
    return [
        (query[slice(*match.query)], document[slice(*match.document)])
        for match in found.matches
        if match.kind == "meaning"
    ]


def test_of_each_query_token_the_documents_nearest_is_found() -> None:
    query = KeptVectors(np.array([[9, 9], [2, 0], [0, 3]], np.int8), np.array([-1, 0, 1]))
    document = KeptVectors(
        np.array([[1, 0], [0, 2], [3, 3], [5, 1]], np.float32), np.array([-1, 4, 5, 6])
    )
    first, second = nearest(query, document)
    assert first[:2] == (0, 6)
    assert second[:2] == (1, 4)
    assert (first.cosine, second.cosine) == pytest.approx((5 / 26**0.5, 1.0))
    assert nearest(query, KeptVectors(document.vectors[:1], document.numbers[:1])) == ()


def test_rerankd_mini_finds_another_word_for_it_and_tells_equal_words_once() -> None:
    document = "Tokyo is where Japanese ministers sit; Japan."
    model = load_mini()
    found = told(model, QUERY, document)[0]
    pairs = shown(found, QUERY, document)
    assert ("Japan", "Japan") not in pairs  # told as a word
    assert any(match.kind == "word" for match in found.matches)
    other = "Tokyo is the seat of the Japanese government."
    assert ("Japan", "Japanese") in shown(told(model, QUERY, other)[0], QUERY, other)
    model.engine.close()


def test_a_query_is_read_once_for_all_documents(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    places, segmented = TextEncoder.places, word_matches.token_places

    def counted(encoder: TextEncoder, text: str, *args: Any, **more: Any) -> list[Span]:
        read.append(text)
        return places(encoder, text, *args, **more)

    def seen(segmenter: Segmenter, text: str) -> Any:
        read.append(text)
        return segmented(segmenter, text)

    monkeypatch.setattr(TextEncoder, "places", counted)
    monkeypatch.setattr(word_matches, "token_places", seen)
    model = load_mini()
    others = [f"The {town} of government of Japan." for town in ("seat", "town", "site")]
    found = told(model, QUERY, *others)
    assert all(shown(each, QUERY, text) for each, text in zip(found, others, strict=True))
    assert read.count(QUERY) == 2  # its words, and its tokens
    assert [read.count(text) for text in others] == [2, 2, 2]
    model.engine.close()


def test_what_is_not_kept_has_no_pairs_and_the_same_scores() -> None:
    kept, forgetful = load_mini(), load_mini(cache_bytes=0)
    document = "Tokyo is the seat of the Japanese government."
    one, other = told(kept, QUERY, document)[0], told(forgetful, QUERY, document)[0]
    assert shown(one, QUERY, document) != []
    assert shown(other, QUERY, document) == []
    assert one.chunks == other.chunks
    for model in (kept, forgetful):
        model.engine.close()


@pytest.mark.parametrize("name", ["PYLATE", "ATTENDED", "XLMR", "STANFORD", "MULTI_VECTOR"])
def test_a_colbert_models_pairs_lie_in_the_best_chunk(name: str, tmp_path: Path) -> None:
    folder = colbert.write(tmp_path, getattr(colbert, name))
    opening = Opening(folder=folder, word=read_word(folder), name="tiny")
    model = load_colbert(opening)
    query = "zebra crossing"
    (found,) = told(model, query, LONG)
    (won,) = [chunk for chunk in found.chunks if chunk.won]
    assert won.span is not None
    assert found.parts["maxsim"] > 0
    for match in found.matches:
        assert won.span[0] <= match.document[0] < match.document[1] <= won.span[1]
        assert FLOOR <= match.score <= 1
        assert query[slice(*match.query)].strip()
    (equal,) = told(model, "zebra", "zebra")
    assert {match.document for match in equal.matches} <= {
        (0, 5),
        *((i, j) for i in range(5) for j in range(6)),
    }
    model.engine.close()


def test_there_are_few_and_none_of_punctuation() -> None:
    words = " ".join(f"word{i}" for i in range(40)) + " ?"
    encoder = encoder_of("bert")
    tokens = encoder.encode(words, "text").size
    pairs = [Pair(i, i, 0.9) for i in range(tokens)]
    found = meaning_matches(pairs, ReadText(encoder, words), ReadText(encoder, words), lambda: None)
    assert len(found) == MOST
    last = [Pair(tokens - 1, tokens - 1, 0.99), Pair(0, 0, FLOOR - 0.01)]
    assert (
        meaning_matches(last, ReadText(encoder, words), ReadText(encoder, words), lambda: None)
        == ()
    )


def test_a_picture_is_a_chunk_without_a_place_and_a_text_beside_it_has_one(tmp_path: Path) -> None:
    model: VisionYesNo = fake_model(tmp_path, 300)
    text = "river " * 400 + "end"
    request = ask("q", Picture(1, 64, 64), text, "", explain=True)
    prepared = model.prepare(request)
    outputs = outputs_of(model, prepared.rows)
    found = explanations(model, request, prepared, outputs, range(3), lambda: None)
    assert [chunk.span for chunk in found[0].chunks] == [None]
    assert found[0].matches == ()
    spans = [chunk.span for chunk in found[1].chunks]
    assert len(spans) > 1
    assert spans[0] is not None
    assert spans[-1] is not None
    assert (spans[0][0], spans[-1][1]) == (0, len(text))
    assert [chunk.span for chunk in found[2].chunks] == [(0, 0)]
