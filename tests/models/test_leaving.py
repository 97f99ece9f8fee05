"""Whoever waited has left: every model ends its work on one long text in the middle of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from rerankd.core.meter import Abandoned, Meter
from rerankd.core.options import LoadOptions
from rerankd.core.request import Content, RerankRequest
from rerankd.models.base import Model
from rerankd.models.causal_yes_no import load_causal_yes_no
from rerankd.models.cross_encoder import load_cross_encoder
from rerankd.models.lexical import LexicalModel
from rerankd.models.mini import load_mini
from tests.checkpoints.bert import TINY_BERT, TINY_XLMR
from tests.checkpoints.bert import write as write_encoder
from tests.checkpoints.decoder import TINY_QWEN3
from tests.checkpoints.decoder import write as write_decoder
from tests.models.vision import fake_model

MODELS = ("rerankd-lexical", "rerankd-mini", "bert", "xlm-roberta", "decoder", "vision")


def model_of(name: str, folder: Path) -> Model:
    match name:
        case "rerankd-lexical":
            return LexicalModel()
        case "rerankd-mini":
            return load_mini(cache_bytes=0)
        case "decoder":
            return load_causal_yes_no(write_decoder(folder, TINY_QWEN3), name=name)
        case "vision":
            return fake_model(folder)
        case _:
            shape = TINY_BERT if name == "bert" else TINY_XLMR
            options = LoadOptions(window_tokens=64)
            return load_cross_encoder(write_encoder(folder, shape), name=name, options=options)


class Leaving(Meter):
    """Notes how often a model looks, and cancels at one of these looks."""

    def __init__(self, at: int | None = None) -> None:
        super().__init__()
        self.looks = 0
        self._at = at

    def check(self) -> None:
        self.looks += 1
        if self.looks == self._at:
            self.cancel()
        super().check()


@pytest.mark.parametrize("name", MODELS)
def test_a_long_document_is_left_in_the_middle(name: str, tmp_path: Path) -> None:
    model = model_of(name, tmp_path)
    long = Content(value="été à la plage " * 40_000)
    request = RerankRequest(
        query=Content(value="what"), documents=(long,), max_chunks_per_doc=100_000
    )
    whole = Leaving()
    model.prepare(request, whole)
    assert whole.looks >= 10
    half = Leaving(at=whole.looks // 2)
    with pytest.raises(Abandoned):
        model.prepare(request, half)
    assert half.looks == whole.looks // 2
    assert half.tokens == 0
    model.engine.close()


@pytest.mark.parametrize("name", ["bert", "xlm-roberta", "decoder", "vision"])
def test_what_is_cut_anyway_is_not_read(name: str, tmp_path: Path) -> None:
    model = model_of(name, tmp_path)
    sentence = "été à la plage "
    looks: list[int] = []
    rows: list[list[list[int]]] = []
    for text in (sentence * 4_000, sentence * 40_000):
        request = RerankRequest(
            query=Content(value="what"), documents=(Content(value=text),), max_tokens_per_doc=100
        )
        meter = Leaving()
        prepared = model.prepare(request, meter)
        assert prepared.truncated == {0}
        looks.append(meter.looks)
        rows.append([row.ids.tolist() for row in prepared.rows])
    assert rows[0] == rows[1]
    assert looks[0] == looks[1]
    model.engine.close()
