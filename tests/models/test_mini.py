"""rerankd-mini as it ships: frozen judgements, exact scores, limits, damaged files."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rerankd.core.errors import InvalidRequest, StartError
from rerankd.core.meter import Meter
from rerankd.core.request import Content, RerankRequest
from rerankd.core.rows import Prepared
from rerankd.models.builtin_files import CONFIG, RANGES, TOKENIZER, WEIGHTS
from rerankd.models.late_interaction import MAX_QUERY_PIECES, LateInteractionModel
from rerankd.models.mini import load_mini
from rerankd.models.selfcheck import self_check
from rerankd.models.text_encoder import TextEncoder

SHIPPED = Path(str(resources.files("rerankd.builtin"))) / "mini"
DATA = Path(__file__).parents[1] / "data" / "judgements.jsonl"
JUDGEMENTS: list[dict[str, str]] = [json.loads(line) for line in DATA.read_text().splitlines()]


@pytest.fixture(scope="module")
def model() -> Iterator[LateInteractionModel]:
    made = load_mini()
    yield made
    made.engine.close()


def prepared(model: LateInteractionModel, query: str, *documents: str, **fields: Any) -> Prepared:
    contents = tuple(Content(value=document) for document in documents)
    return model.prepare(RerankRequest(query=Content(value=query), documents=contents, **fields))


def scores(model: LateInteractionModel, query: str, *documents: str, **fields: Any) -> list[float]:
    rows = prepared(model, query, *documents, **fields).rows
    logits = model.logit(model.engine.forward(rows))
    return [model.relevance(x) for x in logits.tolist()]


def test_it_takes_at_most_30_mb_with_the_idf_table() -> None:
    files = [file for file in SHIPPED.parent.rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) <= 30_000_000


def test_frozen_judgements_hold_in_every_language(model: LateInteractionModel) -> None:
    rows = [
        row
        for j in JUDGEMENTS
        for row in prepared(model, j["query"], j["relevant"], j["other"]).rows
    ]
    logits = model.logit(model.engine.forward(rows)).reshape(-1, 2)
    wrong = Counter(
        j["lang"]
        for j, (relevant, other) in zip(JUDGEMENTS, logits.tolist(), strict=True)
        if relevant <= other
    )
    assert wrong == {}
    assert len(JUDGEMENTS) >= 100
    assert len({j["lang"] for j in JUDGEMENTS}) >= 8


def test_a_long_document_scores_exactly_the_same_in_slices(
    model: LateInteractionModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = " ".join(j[side] for j in JUDGEMENTS for side in ("other", "relevant"))
    rows = prepared(model, JUDGEMENTS[0]["query"], long).rows
    monkeypatch.setattr("rerankd.engines.late_interaction._STEP_TOKENS_PER_CORE", 1 << 20)
    at_once = load_mini(cache_bytes=0)
    monkeypatch.setattr("rerankd.engines.late_interaction._STEP_TOKENS_PER_CORE", 512)
    in_slices = load_mini(cache_bytes=0)
    limit = in_slices.engine.info.slice_tokens
    assert limit is not None
    assert rows[0].tokens > 3 * limit
    assert np.array_equal(at_once.engine.forward(rows), in_slices.engine.forward(rows))
    at_once.engine.close()
    in_slices.engine.close()


def test_a_score_is_exactly_the_same_alone_and_in_company(model: LateInteractionModel) -> None:
    chosen = [JUDGEMENTS[i] for i in range(0, len(JUDGEMENTS), 15)]
    rows = [
        row for j in chosen for row in prepared(model, j["query"], j["relevant"], j["other"]).rows
    ]
    fresh = load_mini(cache_bytes=0)
    together = fresh.engine.forward(rows)
    alone = np.concatenate([fresh.engine.forward([row]) for row in rows[::-1]])[::-1]
    cached = model.engine.forward(rows)
    fresh.engine.close()
    assert np.array_equal(together, alone)
    assert np.array_equal(together, cached)


def test_scores_are_those_of_the_other_platforms(model: LateInteractionModel) -> None:
    query = "What is the capital of the United States?"
    documents = (
        "Washington, D.C. is the capital of the United States.",
        "The largest city of the country by population is New York.",
        "Whisk the eggs with sugar.",
    )
    assert scores(model, query, *documents) == pytest.approx(EXPECTED, abs=0.02)


EXPECTED = [0.9723, 0.1113, 0.0046]


def test_meaning_counts_where_no_word_is_shared(model: LateInteractionModel) -> None:
    found = scores(model, "car repair shop", "An automobile mechanic's garage.", "A bowl of soup.")
    assert found[0] > found[1] + 0.05


def test_the_self_check_passes_without_a_warning(model: LateInteractionModel) -> None:
    assert self_check(model) == ()


def test_usage_counts_word_pieces_of_query_and_document(model: LateInteractionModel) -> None:
    made = prepared(model, "two words", "three more words", "")
    assert [row.tokens for row in made.rows] == [5, 2]
    assert made.input_tokens == 7


def test_a_cut_document_scores_as_the_text_that_is_left(model: LateInteractionModel) -> None:
    text = "alpha beta gamma. " + "The engine is cold. " * 40
    made = prepared(model, "alpha beta", text, "alpha beta gamma.", max_tokens_per_doc=4)
    assert made.truncated == {0}
    assert "1 of 2 documents were cut" in made.warnings[0]
    first, second = model.logit(model.engine.forward(made.rows)).tolist()
    assert first == second
    whole = prepared(model, "alpha beta", text, max_chunks_per_doc=1)
    assert not whole.truncated
    assert prepared(model, "q", text * 4, max_chunks_per_doc=1).truncated == {0}


def test_truncation_off_refuses_and_says_how_to_go_on(model: LateInteractionModel) -> None:
    with pytest.raises(InvalidRequest, match=r"documents\[1\] has 3 tokens.*max_tokens_per_doc"):
        prepared(model, "q", "a", "a b c", max_tokens_per_doc=2, truncation=False)


def test_a_query_over_the_limit_is_refused(model: LateInteractionModel) -> None:
    with pytest.raises(InvalidRequest, match=f"at most {MAX_QUERY_PIECES}"):
        prepared(model, "a " * (MAX_QUERY_PIECES + 1), "x")


def test_an_instruction_is_ignored_aloud(model: LateInteractionModel) -> None:
    assert "instruction" in prepared(model, "q", "d", instruction="be fair").warnings[0]


@pytest.mark.parametrize("name", [CONFIG, WEIGHTS, RANGES, TOKENIZER])
@pytest.mark.parametrize("how", ["missing", "short", "changed"])
def test_damaged_files_are_refused(tmp_path: Path, name: str, how: str) -> None:
    for file in (CONFIG, WEIGHTS, RANGES, TOKENIZER):
        if file == name:
            shutil.copy(SHIPPED / file, tmp_path / file)
        else:
            (tmp_path / file).symlink_to(SHIPPED / file)
    damaged = tmp_path / name
    if how == "missing":
        damaged.unlink()
    elif how == "short":
        damaged.write_bytes(damaged.read_bytes()[:-9])
    else:
        held = bytearray(damaged.read_bytes())
        held[len(held) // 2] ^= 0x40
        damaged.write_bytes(held)
    with pytest.raises(StartError, match="install rerankd again"):
        load_mini(tmp_path)


def test_max_tokens_per_query_cuts_pieces_and_terms_and_says_so(
    model: LateInteractionModel,
) -> None:
    query, document = "the capital of France on the river Seine", "Paris is the capital of France."
    kept = model._encoders[0].covered(query, 4)  # pyright: ignore[reportPrivateUsage]
    cut = prepared(model, query, document, max_tokens_per_query=4)
    assert cut.warnings == ("query: cut to its first 4 tokens (max_tokens_per_query).",)
    assert scores(model, query, document, max_tokens_per_query=4) == scores(model, kept, document)
    assert scores(model, query, document) != scores(model, kept, document)
    assert prepared(model, query, document, max_tokens_per_query=999).warnings == ()
    long = "word " * (MAX_QUERY_PIECES + 1)
    assert prepared(model, long, document, max_tokens_per_query=MAX_QUERY_PIECES).warnings


def known(model: LateInteractionModel, query: str, *documents: str, **fields: Any) -> Any:
    contents = tuple(Content(value=document) for document in documents)
    request = RerankRequest(query=Content(value=query), documents=contents, **fields)
    return model.prepare_known(request, Meter())


def test_what_is_remembered_is_prepared_without_a_tokenizer(
    model: LateInteractionModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = ("how cold is it", "It is cold.", "", "Un café. It is cold.", "It is cold.")
    assert known(model, *texts, instruction="x") is None
    made: Any = prepared(model, *texts, instruction="x")

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a tokenizer was asked")

    monkeypatch.setattr(TextEncoder, "stream", refuse)
    again = known(model, *texts, instruction="x")
    assert [row.key() for row in again.rows] == [row.key() for row in made.rows]
    assert [(row.tokens, row.given, row.pairs) for row in again.rows] == [
        (row.tokens, row.given, row.pairs) for row in made.rows
    ]
    assert (again.owners, again.truncated) == (made.owners, made.truncated)
    assert (again.warnings, again.input_tokens) == (made.warnings, made.input_tokens)
    assert prepared(model, *texts).rows[0].key() == made.rows[0].key()
    assert known(model, "another query", *texts[1:]) is None
    assert known(model, *texts, "another document") is None
    assert known(model, *texts, scope=b"somebody else") is None


def test_what_is_cut_or_refused_is_left_to_a_tokenizer(model: LateInteractionModel) -> None:
    texts = ("two words", "three more words")
    prepared(model, *texts)
    assert known(model, *texts) is not None
    assert known(model, *texts, max_tokens_per_doc=2) is None
    assert known(model, *texts, max_tokens_per_query=1) is None
    with pytest.raises(InvalidRequest):
        model.prepare_known(
            RerankRequest(query=Content(value=texts[0]), documents=(Content(value=texts[1]),)),
            Meter(4),
        )
