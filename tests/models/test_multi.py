"""rerankd-multi as it is installed: facts in 18 languages and across them, exact scores, damage."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib import resources
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rerankd.core.errors import StartError
from rerankd.core.request import Content, RerankRequest
from rerankd.core.rows import Prepared
from rerankd.models import catalog
from rerankd.models.builtin_files import CONFIG, RANGES, TOKENIZER, WEIGHTS
from rerankd.models.late_interaction import LateInteractionModel
from rerankd.models.load import load, resolve
from rerankd.models.mini import load_mini
from rerankd.models.multi import load_multi
from rerankd.models.selfcheck import self_check
from rerankd.models.shipped import SHIPPED

INSTALL = "pip install ./packages/rerankd-multi"
MODEL = Path(str(resources.files("rerankd_multi"))) / "model"
DATA = Path(__file__).parents[1] / "data"
# Language -> for each fact, in the same order, a question and the passage that answers it.
FACTS: dict[str, list[tuple[str, str]]] = json.loads((DATA / "facts.json").read_text("utf-8"))
# Asked in the first language, read in the second: the right passage leads by less than 0.15, or
# another one leads.
CLOSE = {
    *(("es", "ko", 2), ("fr", "ja", 1), ("fr", "vi", 2), ("id", "vi", 2), ("it", "ja", 2)),
    *(("it", "vi", 2), ("nl", "vi", 2), ("pl", "ja", 1), ("tr", "ja", 2), ("tr", "ko", 2)),
}
BY_LANGUAGE: list[dict[str, str]] = [
    json.loads(line) for line in (DATA / "judgements.jsonl").read_text("utf-8").splitlines()
]


@pytest.fixture(scope="module")
def model() -> Iterator[LateInteractionModel]:
    made = load_multi(MODEL)
    yield made
    made.engine.close()


def prepared(model: LateInteractionModel, query: str, documents: Sequence[str]) -> Prepared:
    contents = tuple(Content(value=document) for document in documents)
    return model.prepare(RerankRequest(query=Content(value=query), documents=contents))


def logits(model: LateInteractionModel, query: str, *documents: str) -> list[float]:
    rows = prepared(model, query, documents).rows
    return model.logit(model.engine.forward(rows)).tolist()


def first(model: LateInteractionModel, query: str, documents: Sequence[str]) -> str:
    found = logits(model, query, *documents)
    return documents[found.index(max(found))]


def test_it_is_the_default_where_it_is_installed_and_takes_at_most_80_mb() -> None:
    assert catalog.DEFAULT == "rerankd-multi"
    assert sum(file.stat().st_size for file in MODEL.iterdir()) <= 80_000_000


@pytest.mark.parametrize("language", sorted(FACTS))
def test_facts_are_found_within_a_language(model: LateInteractionModel, language: str) -> None:
    passages = [passage for _, passage in FACTS[language]]
    found = [first(model, question, passages) for question, _ in FACTS[language]]
    assert found == passages


@pytest.mark.parametrize("asked", sorted(FACTS))
def test_facts_are_found_in_every_other_language(model: LateInteractionModel, asked: str) -> None:
    wrong: set[tuple[str, str, int]] = set()
    for read in sorted(set(FACTS) - {asked}):
        passages = [passage for _, passage in FACTS[read]]
        for fact, (question, _) in enumerate(FACTS[asked]):
            if first(model, question, passages) != passages[fact]:
                wrong.add((asked, read, fact))
    assert wrong <= CLOSE


@pytest.mark.parametrize("other", sorted(set(FACTS) - {"en"}))
def test_an_answer_in_another_language_is_above_wrong_passages_in_the_questions_own(
    model: LateInteractionModel, other: str
) -> None:
    for asked, read in (("en", other), (other, "en")):
        for i, (question, _) in enumerate(FACTS[asked]):
            wrong = [passage for n, (_, passage) in enumerate(FACTS[asked]) if n != i]
            right = FACTS[read][i][1]
            assert first(model, question, [*wrong, right]) == right, question


def test_judgements_of_rerankd_mini_hold(model: LateInteractionModel) -> None:
    wrong = [
        (j["lang"], j["query"])
        for j in BY_LANGUAGE
        if np.diff(logits(model, j["query"], j["relevant"], j["other"]))[0] >= 0
    ]
    assert wrong == []


def test_english_texts_score_exactly_as_in_rerankd_mini(model: LateInteractionModel) -> None:
    # But for "At sea level, ...": too few words to be sure of its language.
    passages = [passage for _, passage in FACTS["en"] if not passage.startswith("At sea")]
    mini = load_mini()
    for question, _ in FACTS["en"]:
        assert logits(model, question, *passages) == logits(mini, question, *passages)
    mini.engine.close()


def test_a_score_is_exactly_the_same_alone_in_company_and_in_another_process_start(
    model: LateInteractionModel,
) -> None:
    question = FACTS["de"][2][0]
    documents = [passage for facts in FACTS.values() for _, passage in facts]
    together = logits(model, question, *documents)
    fresh = load_multi(MODEL, cache_bytes=0)
    assert [logits(fresh, question, document)[0] for document in documents[::7]] == together[::7]
    assert logits(fresh, question, *documents[::-1])[::-1] == together
    fresh.engine.close()


def test_a_long_document_scores_exactly_the_same_in_slices(
    model: LateInteractionModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = " ".join(passage for facts in FACTS.values() for _, passage in facts) * 8
    [row] = prepared(model, FACTS["ko"][0][0], [long]).rows
    whole = model.engine.forward([row])[0]
    monkeypatch.setattr("rerankd.engines.late_interaction._STEP_TOKENS_PER_CORE", 512)
    slicing = load_multi(MODEL, cache_bytes=0)
    engine: Any = slicing.engine
    assert row.tokens > engine.info.slice_tokens
    sliced: list[Any] = []

    def run() -> Iterator[int]:
        sliced.append((yield from engine.slices(row)))

    assert len(list(run())) > 1
    assert np.array_equal(sliced[0], whole)
    slicing.engine.close()


def test_what_its_work_left_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[int] = []
    monkeypatch.setattr("rerankd.models.multi.give_back", lambda: given.append(1))
    monkeypatch.setattr("rerankd.models.multi._GIVE_BACK_TOKENS", 100)
    made = load_multi(MODEL)
    loaded = len(given)
    logits(made, "什么是首都？", "法国的首都是巴黎。" * 40)
    made.engine.close()
    assert len(given) > loaded > 0


def test_the_self_check_passes_without_a_warning(model: LateInteractionModel) -> None:
    assert self_check(model) == ()


def test_a_text_is_cut_to_what_the_encoder_that_sees_it_reads(model: LateInteractionModel) -> None:
    query, document = FACTS["zh"][0]
    request = RerankRequest(
        query=Content(value=query),
        documents=(Content(value=document * 9),),
        max_tokens_per_doc=12,
        max_tokens_per_query=5,
    )
    cut = model.prepare(request)
    assert [row.tokens for row in cut.rows] == [15]
    assert len(cut.warnings) == 2


@pytest.mark.parametrize("name", [CONFIG, WEIGHTS, RANGES, TOKENIZER])
@pytest.mark.parametrize("how", ["gone", "flipped"])
def test_damage_is_refused_with_the_command_that_mends_it(
    tmp_path: Path, name: str, how: str
) -> None:
    for file in MODEL.iterdir():
        (tmp_path / file.name).symlink_to(file)
    damaged = tmp_path / name
    damaged.unlink()
    if how == "flipped":
        shutil.copyfile(MODEL / name, damaged)
        with damaged.open("r+b") as file:
            file.seek(damaged.stat().st_size // 2)
            byte = file.read(1)[0]
            file.seek(-1, 1)
            file.write(bytes([byte ^ 0x40]))
    with pytest.raises(StartError, match=INSTALL) as refused:
        load_multi(tmp_path)
    assert str(damaged) in str(refused.value)


def test_a_missing_package_is_refused_with_the_command_that_brings_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    missing = replace(SHIPPED["rerankd-multi"], package="rerankd_nowhere")
    monkeypatch.setitem(SHIPPED, "rerankd-multi", missing)
    with pytest.raises(StartError, match=INSTALL):
        load(resolve("rerankd-multi"))


# What rerank APIs show in their documents, and products such as one of them shows, written anew.
EXAMPLES: dict[str, Any] = json.loads((DATA / "examples.json").read_text("utf-8"))


def test_one_question_finds_the_same_product_in_every_language(
    model: LateInteractionModel,
) -> None:
    query = "Organic skincare products for sensitive skin"
    found = logits(model, query, *EXAMPLES["products"])
    best = sorted(range(len(found)), key=lambda i: -found[i])
    assert set(best[:4]) == {0, 2, 4, 6}
    assert best[0] == 0


@pytest.mark.parametrize("shown", EXAMPLES["examples"], ids=lambda shown: shown["query"])
def test_examples_come_back_in_the_order_that_their_documents_show(
    model: LateInteractionModel, shown: dict[str, Any]
) -> None:
    found = logits(model, shown["query"], *shown["documents"])
    order = sorted(range(len(found)), key=lambda i: -found[i])
    assert order[: len(shown["best"])] == shown["best"]


def test_there_are_enough_facts() -> None:
    assert len(FACTS) >= 15
    directions = len(list(permutations(FACTS, 2)))
    assert directions >= 10
    assert sum(map(len, FACTS.values())) * len(FACTS) >= 200
