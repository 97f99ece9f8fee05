"""rerankd-lexical from request to relevance, and its quality on two small samples."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerankd.core.errors import InvalidRequest
from rerankd.core.meter import Abandoned, Meter
from rerankd.core.request import Content, RerankRequest
from rerankd.core.rows import Row
from rerankd.engines.lexical import NOTHING, WORD
from rerankd.measure.collection import read_collection
from rerankd.measure.metrics import mean_ndcg, order
from rerankd.models.lexical import CARD, MAX_QUERY_TERMS, LexicalModel
from rerankd.models.segment import term_id

MODEL = LexicalModel()
DATA = Path(__file__).parents[1] / "data"
texts = st.text(st.characters(codec=None, exclude_categories=()), max_size=60)

CAPITALS = """\
Carson City is the capital city of the American state of Nevada.
The Commonwealth of the Northern Mariana Islands is a group of islands. Its capital is Saipan.
Washington, D.C. (also known as simply Washington or D.C., and officially as the District of \
Columbia) is the capital of the United States. It is a federal district.
Capitalization or capitalisation in English grammar is the use of a capital letter at the start \
of a word. English usage varies from capitalization in other languages.
Capital punishment (the death penalty) has existed in the United States since beforethe United \
States was a country. As of 2017, capital punishment is legal in 30 of the 50 states.
""".splitlines()


def request(query: str, documents: Sequence[str]) -> RerankRequest:
    contents = tuple(Content(value=text) for text in documents)
    return RerankRequest(query=Content(value=query), documents=contents)


def logits(query: str, documents: Sequence[str]) -> list[float]:
    rows = MODEL.prepare(request(query, documents)).rows
    return [float(x) for x in MODEL.logit(MODEL.engine.forward(rows))]


def relevance(query: str, document: str) -> float:
    return MODEL.relevance(logits(query, [document])[0])


def whitespace(query: str, documents: Sequence[str]) -> list[float]:
    """Plain BM25 over lowercase tokens between spaces, with the same table."""

    def ids(text: str) -> list[int]:
        return [term_id(WORD, token) for token in text.lower().split()]

    terms = ids(query)
    rows = [
        Row(ids=np.array(terms + ids(text) or [NOTHING], np.int32), second=len(terms))
        for text in documents
    ]
    return [float(x) for x in MODEL.engine.forward(rows)[:, 0]]


@given(texts, st.lists(texts, min_size=1, max_size=5), st.randoms(use_true_random=False))
def test_permuting_documents_permutes_scores(
    query: str, documents: list[str], draw: random.Random
) -> None:
    places = list(range(len(documents)))
    draw.shuffle(places)
    scores = logits(query, documents)
    assert logits(query, [documents[i] for i in places]) == [scores[i] for i in places]


@given(texts, texts, st.lists(texts, max_size=4))
def test_a_score_depends_on_its_own_document_only(
    query: str, document: str, others: list[str]
) -> None:
    assert logits(query, [document, *others])[0] == logits(query, [document])[0]


@given(texts, texts)
def test_every_pair_has_a_row_and_a_score_between_0_and_1(query: str, document: str) -> None:
    prepared = MODEL.prepare(request(query, [document]))
    assert prepared.rows[0].tokens > 0
    assert prepared.input_tokens == prepared.rows[0].tokens
    assert 0.0 < relevance(query, document) < 1.0


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6))
def test_relevance_is_monotone_and_bounded(a: float, b: float) -> None:
    low, high = sorted((a, b))
    assert 0.0 <= MODEL.relevance(low) <= MODEL.relevance(high) <= 1.0


def test_the_capital_of_the_united_states_is_first() -> None:
    assert order(logits("What is the capital of the United States?", CAPITALS))[0] == 2


def test_the_two_passages_about_text_ranking_come_before_the_one_about_quanta() -> None:
    documents = [
        "文本排序模型广泛用于搜索引擎和推荐系统中,它们根据文本相关性对候选文本进行排序",
        "量子计算是计算科学的一个前沿领域",
        "预训练语言模型的发展给文本排序模型带来了新的进展",
    ]
    assert order(logits("什么是文本排序模型", documents)) == [0, 2, 1]


@pytest.mark.parametrize(
    ("query", "right", "wrong"),
    [
        ("北京的人口是多少", "北京的人口约为两千一百万。", "上海是一个港口城市。"),
        ("富士山の高さは", "富士山の高さは3776メートルである。", "琵琶湖は日本最大の湖です。"),
        ("เมืองหลวงของประเทศไทย", "กรุงเทพเป็นเมืองหลวงของประเทศไทย", "แมวชอบกินปลา"),
        ("대한민국의 수도", "서울은 대한민국의 수도이다.", "고양이는 생선을 좋아한다."),
        ("столица России", "Москва — столица Российской Федерации, России.", "Кошки любят рыбу."),
        ("عاصمة مصر", "القاهرة هي عاصمة مصر.", "القط يحب السمك."),
        (
            "Hauptstadt Deutschlands",
            "Berlin ist die Hauptstadt Deutschlands.",
            "Katzen mögen Fisch.",
        ),
        ("Türkiye'nin başkenti", "Ankara, Türkiye'nin başkentidir.", "Kediler balık sever."),
        ("भारत की राजधानी", "नई दिल्ली भारत की राजधानी है।", "बिल्ली मछली खाती है।"),
        (
            "what causes ERR_CONN_42",
            "ERR_CONN_42 means that the peer hung up.",
            "ERR_DISK_7: disk full.",
        ),
        ("upgrade to 2.13.0", "Version 2.13.0 renamed the flag.", "Version 2.12.1 fixed a crash."),
        ("max tokens per doc", "def f(maxTokensPerDoc: int): ...", "def g(top_n: int): ..."),
    ],
    ids=[
        "zh",
        "ja",
        "th",
        "ko",
        "ru",
        "ar",
        "de",
        "tr",
        "hi",
        "error code",
        "version",
        "identifier",
    ],
)
def test_an_answer_scores_high_and_another_topic_low(query: str, right: str, wrong: str) -> None:
    assert relevance(query, right) > 0.5 > relevance(query, wrong)


def test_no_overlap_scores_low() -> None:
    assert relevance("What is the capital of France?", "Bananen wachsen 12 m hoch") < 0.1
    assert relevance("", "") < 0.1


def test_max_tokens_per_doc_cuts_the_document_and_says_so() -> None:
    asked = replace(request("tiger", ["one two three", "four"]), max_tokens_per_doc=4)
    prepared = MODEL.prepare(asked)
    assert [row.tokens - row.second for row in prepared.rows] == [4, 2]
    assert prepared.truncated == {0}
    assert prepared.owners == (0, 1)


def test_without_truncation_a_cut_is_refused_and_the_document_named() -> None:
    asked = replace(request("a", ["b", "one two three"]), max_tokens_per_doc=4, truncation=False)
    with pytest.raises(InvalidRequest, match="6 tokens; max_tokens_per_doc is 4") as caught:
        MODEL.prepare(asked)
    assert caught.value.param == "documents[1]"


def test_without_truncation_a_document_that_fits_is_taken() -> None:
    asked = replace(request("a", ["one two"]), max_tokens_per_doc=4, truncation=False)
    assert MODEL.prepare(asked).truncated == frozenset()


def test_an_instruction_is_a_warning_and_changes_nothing() -> None:
    plain = request("a tiger", ["the tiger"])
    told = MODEL.prepare(replace(plain, instruction="Prefer cats."))
    assert "instruction" in told.warnings[0]
    assert told.rows[0].key() == MODEL.prepare(plain).rows[0].key()
    assert MODEL.prepare(plain).warnings == ()


def test_a_huge_query_is_refused_not_cut() -> None:
    with pytest.raises(InvalidRequest, match=str(MAX_QUERY_TERMS)) as refused:
        MODEL.prepare(request("w " * MAX_QUERY_TERMS, ["d"]))
    assert refused.value.param == "query"


def test_the_card_is_what_is_served() -> None:
    assert (MODEL.card, CARD.name, CARD.window_tokens) == (CARD, "rerankd-lexical", None)
    assert MODEL.engine.info.name == "lexical"


@pytest.mark.parametrize(("name", "least"), [("xquad-de", 0.90), ("xquad-zh", 0.90)])
def test_quality_does_not_fall_and_beats_whitespace_bm25(name: str, least: float) -> None:
    collection = read_collection(DATA / name)
    draw = random.Random(0)
    mixed = {qid: draw.sample(docs, len(docs)) for qid, docs in collection.candidates.items()}
    collection = replace(collection, candidates=mixed)  # ties must not profit from the given order
    ours = mean_ndcg(collection, logits)
    assert ours >= mean_ndcg(collection, whitespace)
    assert ours >= least


class _Leaving(Meter):
    """Whoever waited has left when the model looks for the third time."""

    looks = 0

    def check(self) -> None:
        self.looks += 1
        if self.looks == 3:
            self.cancel()
        super().check()


def test_a_long_document_is_left_in_the_middle_when_nobody_waits() -> None:
    request = RerankRequest(
        query=Content(value="what"), documents=(Content(value="été " * 100_000),)
    )
    meter = _Leaving()
    with pytest.raises(Abandoned):
        LexicalModel().prepare(request, meter)
    assert meter.looks == 3
    assert meter.tokens == 0


def test_max_tokens_per_query_cuts_terms_and_says_so() -> None:
    asked = request("capital of France", ["Paris"])
    (whole,) = MODEL.prepare(asked).rows
    cut = MODEL.prepare(replace(asked, max_tokens_per_query=2))
    assert cut.warnings == ("query: cut to its first 2 tokens (max_tokens_per_query).",)
    assert cut.rows[0].ids.tolist() == [*whole.ids[:2], *whole.ids[whole.second :]]
    assert MODEL.prepare(replace(asked, max_tokens_per_query=whole.second)).warnings == ()
    huge = request("word " * MAX_QUERY_TERMS, ["Paris"])
    assert MODEL.prepare(replace(huge, max_tokens_per_query=MAX_QUERY_TERMS)).warnings
