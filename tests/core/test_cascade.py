"""Which documents go on to the second stage, and what their ranking says."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerankd.core.answer import Hit
from rerankd.core.cascade import Cascade, in_whole_request, merged, parse_stages, passed_on
from rerankd.core.errors import InvalidRequest, StartError
from rerankd.core.rank import top_hits
from rerankd.core.request import Content, RerankRequest

FIRST = "rerankd-lexical"
lists = st.lists(
    st.tuples(st.sampled_from("abcdefgh"), st.floats(-20, 20)), min_size=1, max_size=40
)


def request_of(texts: list[str]) -> RerankRequest:
    return RerankRequest(
        query=Content(value="q"), documents=tuple(Content(value=text) for text in texts)
    )


def first_hits(texts: list[str], logits: list[float]) -> tuple[Hit, ...]:
    """A first stage: equal texts have equal logits."""
    by_text = dict(zip(texts, logits, strict=True))
    return top_hits(
        [Hit(i, by_text[text] / 40 + 0.5, by_text[text]) for i, text in enumerate(texts)]
    )


def second_hits(texts: list[str], places: tuple[int, ...]) -> tuple[Hit, ...]:
    """A second stage that disagrees with any first: by the text's letter."""
    return top_hits([Hit(i, ord(texts[i]) / 128, float(ord(texts[i]) - 100)) for i in places])


@given(lists, st.integers(1, 45))
def test_all_documents_come_back_once_with_falling_scores_and_the_rest_marked(
    documents: list[tuple[str, float]], keep: int
) -> None:
    texts, logits = [text for text, _ in documents], [logit for _, logit in documents]
    first = first_hits(texts, logits)
    places = passed_on(request_of(texts), first, keep)
    hits = merged(second_hits(texts, places), first, stage=FIRST)
    assert sorted(hit.index for hit in hits) == list(range(len(texts)))
    assert all(a.score >= b.score and a.logit >= b.logit for a, b in pairwise(hits))
    assert [bool(hit.stage) for hit in hits] == [False] * len(places) + [True] * (
        len(texts) - len(places)
    )
    rest = [hit.index for hit in hits if hit.stage]
    assert rest == [hit.index for hit in first if hit.index in rest]  # the first stage's order
    assert {hit.stage for hit in hits} <= {"", FIRST}


@given(lists, st.integers(1, 45))
def test_the_best_go_on_and_equal_documents_share_a_stage(
    documents: list[tuple[str, float]], keep: int
) -> None:
    texts, logits = [text for text, _ in documents], [logit for _, logit in documents]
    first = first_hits(texts, logits)
    places = passed_on(request_of(texts), first, keep)
    assert list(places) == sorted(places)
    assert {hit.index for hit in first[:keep]} <= set(places)
    assert {texts[i] for i in places} == {texts[hit.index] for hit in first[:keep]}
    assert not {texts[i] for i in places} & {
        text for i, text in enumerate(texts) if i not in places
    }


def test_a_rest_score_is_the_first_stages_unless_it_is_above_the_lowest() -> None:
    first = (Hit(0, 0.9, 2.2), Hit(1, 0.8, 1.4), Hit(2, 0.1, -2.2))
    hits = merged([Hit(0, 0.3, -0.8)], first, stage=FIRST)
    assert [(hit.index, hit.score, hit.logit) for hit in hits] == [
        (0, 0.3, -0.8),
        (1, 0.3, -0.8),
        (2, 0.1, -2.2),
    ]


def test_stages_are_read() -> None:
    cascade = Cascade(first=FIRST, keep=200)
    assert parse_stages("x", ["rerankd-lexical:200", "a:b/c"]) == (cascade, "a:b/c")
    assert parse_stages("x", ["m"]) == (None, "m")


@pytest.mark.parametrize(
    "stages",
    [
        ["rerankd-lexical", "m"],
        ["rerankd-lexical:0", "m"],
        ["rerankd-lexical:-1", "m"],
        ["rerankd-lexical:1.5", "m"],
        ["rerankd-lexical:²", "m"],
        ["rerankd-mini:200", "m"],
        ["rerankd-lexical:200", "rerankd-lexical:50", "m"],
        ["rerankd-lexical:200", "rerankd-lexical"],
    ],
    ids=str,
)
def test_stages_that_cannot_be_served_are_refused(stages: list[str]) -> None:
    with pytest.raises(StartError, match=r'model\."x"\.stages'):
        parse_stages("x", stages)


def test_an_error_names_the_callers_document() -> None:
    error = InvalidRequest("documents[1] has 9 tokens; documents[1]", param="documents[1]")
    shown = in_whole_request(error, (4, 7))
    assert (shown.message, shown.param) == (
        "documents[7] has 9 tokens; documents[1]",
        "documents[7]",
    )
    kept_param = in_whole_request(InvalidRequest("documents[0]: x", param="documents"), (4, 7))
    assert (kept_param.message, kept_param.param) == ("documents[4]: x", "documents")
    other = InvalidRequest("query: too long", param="query")
    assert in_whole_request(other, (4, 7)) is other
