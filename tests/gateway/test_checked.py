"""An upstream's answer is never passed on wrong, and never with what is nobody's business."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerankd.core.answer import Hit, Ranking
from rerankd.core.request import Content, RerankRequest
from rerankd.gateway.checked import answered, of_logits, scrubbed, wrong

HITS = (Hit(1, 0.9, 0.9), Hit(0, 0.5, 0.5), Hit(2, 0.1, 0.1))
GOOD = Ranking(model="theirs", hits=HITS, documents=3, input_tokens=7)
REQUEST = RerankRequest(
    query=Content(value="q"), documents=tuple(Content(value=c) for c in "abc"), top_n=2
)


def test_a_good_answer_has_nothing_wrong() -> None:
    assert wrong(GOOD, REQUEST) == ""


@pytest.mark.parametrize(
    "bad",
    [
        replace(GOOD, hits=HITS[:2]),
        replace(GOOD, hits=(*HITS, Hit(3, 0, 0))),
        replace(GOOD, hits=(HITS[0], HITS[0], HITS[2])),
        replace(GOOD, hits=(HITS[0], HITS[1], Hit(5, 0.1, 0.1))),
        replace(GOOD, hits=(HITS[0], HITS[1], Hit(-1, 0.1, 0.1))),
        replace(GOOD, hits=(HITS[0], HITS[1], Hit(2, math.nan, 0))),
        replace(GOOD, hits=(HITS[0], HITS[1], Hit(2, math.inf, 0))),
        replace(GOOD, hits=()),
        replace(GOOD, input_tokens=-1),
        replace(GOOD, cached_tokens=-1),
        replace(GOOD, image_tokens=-1),
        replace(GOOD, input_tokens=10**15),
        replace(GOOD, cached_tokens=10**15),
    ],
)
def test_a_bad_one_has(bad: Ranking) -> None:
    assert wrong(bad, REQUEST)


def test_top_n_is_done_here() -> None:
    found = answered(GOOD, REQUEST, name="ours")
    assert [hit.index for hit in found.hits] == [1, 0]
    assert (found.model, found.documents, found.input_tokens) == ("ours", 3, 7)


def test_logits_become_scores_for_who_wants_scores() -> None:
    raw = replace(GOOD, hits=(Hit(1, 4.0, 4.0), Hit(0, 0.0, 0.0), Hit(2, -900.0, -900.0)))
    found = of_logits(raw)
    assert [round(hit.score, 4) for hit in found.hits] == [0.9820, 0.5, 0.0]
    assert [hit.logit for hit in found.hits] == [4.0, 0.0, -900.0]


@pytest.mark.parametrize(
    "said",
    [
        "see https://inner.example:8080/v1?key=sk-12345678 for more",
        "host 10.1.2.3:9000 refused",
        "Incorrect API key provided: sk-proj-abcdef1234.",
        "at [fd00::1]:80",
        "a\nb\x1b[31mred",
    ],
)
def test_addresses_and_keys_are_not_passed_on(said: str) -> None:
    found = answered(replace(GOOD, warnings=(said,)), REQUEST, name="m")
    (warning,) = found.warnings
    for secret in ("inner", "10.1.2.3", "sk-", "fd00", "\n", "\x1b"):
        assert secret not in warning


@given(st.text(max_size=2000), st.text(min_size=8, max_size=20))
def test_what_is_scrubbed_is_short_printable_and_holds_no_secret(text: str, secret: str) -> None:
    found = scrubbed(text + secret + text, [secret])
    assert len(found) <= 301
    assert found.isprintable() or not found
    assert secret not in found or secret.strip("…") == ""
