"""Where tokens stand in a text: what the tokenizer itself says of the whole, whatever the parts."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rerankd.models.text_encoder import TextEncoder
from tests.kit.nasty_texts import nasty_text
from tests.models.test_text_encoder import NAMES, encoder_of, tokenizer_of

PROMPTS = ("", "search_document: ", "<Document>:", "d", "\U0001f600")


def own_offsets(name: str, text: str, before: str, first: int) -> list[tuple[int, int]]:
    """Of the text's own tokens, by one call of the library."""
    whole = tokenizer_of(name).encode(before + text, add_special_tokens=False)
    at = len(before)
    return [(max(s - at, 0), max(s, e, at) - at) for s, e in whole.offsets[first:]]


def seen(text: str, place: tuple[int, int]) -> tuple[int, str]:
    """What a place shows, and where: blanks at its ends are nobody's."""
    shown = text[slice(*place)]
    return place[0] + len(shown) - len(shown.lstrip()), shown.strip()


def agree(encoder: TextEncoder, name: str, text: str, before: str) -> None:
    own = next(encoder.stream([text], ["text"], before=before))
    wanted = own_offsets(name, text, before, own.first)
    assert own.ids.size - own.first == len(wanted)
    found = encoder.places(text, [(i, i + 1) for i in range(len(wanted))], before=before)
    for each, whole in zip(found, wanted, strict=True):
        place = seen(text, whole)
        assert seen(text, each) == place or not place[1]  # a blank may count to what is behind it
    assert all(0 <= start <= end <= len(text) for start, end in found)
    half = len(wanted) // 2
    if half:
        (start, end), (behind, _) = encoder.places(
            text, [(0, half), (half - 1, half)], before=before
        )
        assert (start, end, behind) == (found[0][0], found[half - 1][1], found[half - 1][0])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("part", [3, 17, 32_768])
@settings(max_examples=60, deadline=None)
@given(text=nasty_text, before=st.sampled_from(PROMPTS))
def test_places_are_the_tokenizers_own_offsets(
    name: str, part: int, text: str, before: str
) -> None:
    agree(encoder_of(name, part), name, text, before)


@pytest.mark.parametrize("name", NAMES)
def test_a_text_of_many_parts_has_the_places_of_the_whole(name: str) -> None:
    some = "Señor, it's 3.14 \u2014 \U0001f600\U0001f603 東京タワー ﷺ ½ \n\n    e\u0301 "
    text = "  " + some * (40_000 // len(some))
    assert len(text) > 32_768
    agree(encoder_of(name), name, text, "")


def test_of_a_blank_text_every_place_is_all_of_it() -> None:
    encoder = encoder_of("bert")
    assert encoder.places("  ", [(0, 0)]) == [(0, 2)]
    assert encoder.encode("  ", "text").size == 0
