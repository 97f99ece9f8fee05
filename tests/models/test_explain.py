"""Where chunks stand in the text, which one won, and what a built-in's score is made of."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from tokenizers import Tokenizer

from rerankd.core.explanation import Explanation
from rerankd.core.request import Content, RerankRequest
from rerankd.engines.fake import FakeEngine
from rerankd.models.base import AnyModel, ModelCard, document_logits, outputs_of
from rerankd.models.cross_encoder import CrossEncoder
from rerankd.models.explain import explanations
from rerankd.models.families import CROSS_ENCODER
from rerankd.models.lexical import LexicalModel
from rerankd.models.mini import load_mini
from rerankd.models.pair_template import derive_template
from rerankd.models.text_encoder import TextEncoder
from tests.checkpoints.made import tokenizer_file

LONG = " ".join(f"Sentence {i} tells of rivers and of bridges, señor." for i in range(40))
SPACED = "  \n" + LONG + "  "


def model_of(family: str) -> CrossEncoder:
    tokenizer = Tokenizer.from_file(str(tokenizer_file(family)))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    template = derive_template(tokenizer, token_types=2 if family == "bert" else 1)
    card = ModelCard(name="m", family=CROSS_ENCODER, window_tokens=64, score="")
    return CrossEncoder(card, FakeEngine(), TextEncoder(tokenizer), template)


def asked(query: str, *documents: str, **options: Any) -> RerankRequest:
    contents = tuple(Content(value=each) for each in documents)
    return RerankRequest(query=Content(value=query), documents=contents, explain=True, **options)


def explained(model: AnyModel, request: RerankRequest) -> list[Explanation]:
    prepared = model.prepare(request)
    outputs = outputs_of(model, prepared.rows)
    wanted = range(len(request.documents))
    found = list(explanations(model, request, prepared, outputs, wanted, lambda: None).values())
    logits = document_logits(model, prepared, outputs, len(request.documents))
    for each, logit in zip(found, logits, strict=True):
        won = [chunk for chunk in each.chunks if chunk.won]
        assert [chunk.logit for chunk in won] == [logit]
    return found


@pytest.mark.parametrize("family", ["bert", "xlm-roberta"])
@pytest.mark.parametrize("document", [LONG, SPACED, "短い文。" * 60 + LONG])
def test_chunks_lie_in_the_document_in_order_and_leave_out_blanks_only(
    family: str, document: str
) -> None:
    model = model_of(family)
    (found,) = explained(model, asked("rivers", document))
    spans = [chunk.span for chunk in found.chunks]
    assert len(spans) > 2
    assert all(span is not None and 0 <= span[0] < span[1] <= len(document) for span in spans)
    places = [span for span in spans if span is not None]
    assert places == sorted(places)
    for (_, end), (start, _) in pairwise(places):
        assert not document[end:start].strip()  # "" where they overlap
    assert not document[: places[0][0]].strip()
    assert not document[places[-1][1] :].strip()
    assert found.cut_at is None


@pytest.mark.parametrize("family", ["bert", "xlm-roberta"])
def test_a_chunk_is_where_the_tokens_of_its_row_are(family: str) -> None:
    model = model_of(family)
    request = asked("rivers", LONG, overlap_tokens=0)
    (found,) = explained(model, request)
    tokenizer = Tokenizer.from_file(str(tokenizer_file(family)))
    tokenizer.no_truncation()
    whole = tokenizer.encode(LONG, add_special_tokens=False)
    template = model.prepare(asked("rivers", "")).rows[0].tokens
    at = 0
    for chunk in found.chunks:
        assert chunk.tokens is not None
        end = at + chunk.tokens - template
        assert chunk.span == (whole.offsets[at][0], whole.offsets[end - 1][1])
        at = end
    assert at == len(whole.ids)


def test_what_was_cut_off_is_said() -> None:
    model = model_of("bert")
    (found,) = explained(model, asked("rivers", LONG, max_chunks_per_doc=2))
    assert found.chunks[-1].span is not None
    assert found.cut_at == found.chunks[-1].span[1] < len(LONG)
    short, none = explained(model, asked("rivers", "a b", "")), None
    assert [each.cut_at for each in short] == [none, none]
    assert [each.chunks[0].span for each in short] == [(0, 3), (0, 0)]


def test_words_of_both_texts_are_found_the_rarest_first() -> None:
    query, document = "Who sells Bordeaux wines?", "Wine from bordeaux is what he sells."
    (found,) = explained(LexicalModel(), asked(query, document))
    pairs = [
        (query[slice(*match.query)].lower(), document[slice(*match.document)].lower())
        for match in found.matches
    ]
    assert ("bordeaux", "bordeaux") in pairs
    assert ("wines", "wine") in pairs
    scores = [match.score for match in found.matches]
    assert scores == sorted(scores, reverse=True)
    assert found.parts["bm25"] > 0


def test_writing_without_spaces_matches_by_pairs_of_characters() -> None:
    query, document = "日本の首都", "東京は日本の首都です"
    (found,) = explained(LexicalModel(), asked(query, document))
    assert {document[slice(*match.document)] for match in found.matches} == {
        *("日本", "本の", "の首", "首都")
    }


def test_a_built_in_says_what_its_logit_is_made_of_and_where_it_was_cut() -> None:
    model = load_mini(cache_bytes=0)
    found = explained(model, asked("rivers", "Rivers flow.", LONG, max_tokens_per_doc=20))
    assert {"bm25", "minilm.maxsim", "minilm.cosine"} <= found[0].parts.keys()
    assert found[0].cut_at is None
    assert found[1].cut_at is not None
    assert found[1].cut_at < len(LONG)
    assert found[1].chunks[0].span == (0, found[1].cut_at)
    model.engine.close()
