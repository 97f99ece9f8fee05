"""Keys that rerankd makes: their form, and that a slip shows."""

from __future__ import annotations

import re
import string

from hypothesis import given
from hypothesis import strategies as st

from rerankd.access.token import LENGTH, PREFIX, is_mistyped, make

FORM = re.compile(r"sk-rk-[0-9A-Za-z]{8}[0-9A-Za-z]{40}[0-9A-Za-z]{6}")


def test_a_key_has_its_form_and_no_two_are_equal() -> None:
    made = [make() for _ in range(200)]
    assert len({token.text for token in made}) == len({token.public_id for token in made}) == 200
    for token in made:
        assert FORM.fullmatch(token.text)
        assert token.text.startswith(PREFIX + token.public_id)
        assert not is_mistyped(token.text.encode())


def test_the_next_key_of_a_name_has_the_same_public_part() -> None:
    first = make()
    second = make(first.public_id)
    assert second.public_id == first.public_id
    assert second.text != first.text


@given(st.integers(0, LENGTH - 1), st.sampled_from(string.ascii_letters + string.digits))
def test_one_wrong_character_shows(place: int, character: str) -> None:
    text = make("abcdefgh").text
    wrong = text[:place] + character + text[place + 1 :]
    if wrong == text or not wrong.startswith(PREFIX):
        assert not is_mistyped(wrong.encode())  # unchanged, or nothing like a key of ours
    else:
        assert is_mistyped(wrong.encode())


def test_what_is_cut_long_or_not_ascii_is_a_slip_and_other_keys_are_not() -> None:
    text = make().text.encode()
    for wrong in (text[:-1], text + b"0", text[:-1] + b"\xff", PREFIX.encode()):
        assert is_mistyped(wrong)
    for other in (b"", b"sk-a", b"sk-proj-x", b"\xff\xfe", text[1:]):
        assert not is_mistyped(other)
