"""int8 and bf16 of every family of encoders: near fp32 and not it, the same in any company."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import pytest

from rerankd.core.options import LoadOptions, Precision
from rerankd.core.request import Content, RerankRequest
from rerankd.core.rows import Row, Scores
from rerankd.engines.precisions import OPENVINO
from rerankd.models.base import Model, pointwise
from rerankd.models.load import Spec, load
from tests.checkpoints import (
    bert,
    bert_kin,
    bi_encoder,
    colbert,
    deberta,
    gte,
    jina_bert,
    logit_score,
    modernbert,
    module_head,
)
from tests.reference.make_goldens import pairs

pytestmark = pytest.mark.timeout(1800)  # slow

PAIRS: Final = 60
WRITERS: Final[dict[str, Callable[[Path], Path]]] = {
    "bert": partial(bert.write, shape=bert.MINILM_L6),
    "xlm-roberta": partial(bert.write, shape=bert.GOLDEN_SHAPES["tiny-xlmr"]),
    "electra": partial(bert_kin.write, shape=bert_kin.GOLDEN_SHAPES["tiny-electra"]),
    "distilbert": partial(bert_kin.write, shape=bert_kin.GOLDEN_SHAPES["tiny-distilbert"]),
    "modernbert": partial(modernbert.write, shape=modernbert.TINY),
    "modernbert-cls": partial(modernbert.write, shape=modernbert.TINY_LISTED),
    "deberta": partial(deberta.write, shape=deberta.TINY),
    "deberta-apart": partial(deberta.write, shape=deberta.TINY_APART),
    "gte": partial(gte.write, shape=gte.TINY),
    "jina-bert": partial(jina_bert.write, shape=jina_bert.TINY),
    "nemotron": logit_score.write_nemotron,
    "ettin": partial(module_head.write, shape=module_head.TINY),
    "ettin-local": partial(module_head.write, shape=module_head.TINY_LOCAL),
    "colbert": partial(colbert.write, shape=colbert.PYLATE),
    "bi-encoder": partial(bi_encoder.write, shape=bi_encoder.MODERN),
}
KINDS: Final = {
    "modernbert-cls": "modernbert",
    "deberta": "deberta-v2",
    "deberta-apart": "deberta-v2",
    "nemotron": "llama-bidirectional",
    "ettin": "modules",
    "ettin-local": "modules",
}
# How far logits may be from fp32's, in deviations of these, and how alike the orders must be. The
# models are 32 values wide, so that one rounding weighs more than in any real one.
AGREEMENT: Final[dict[Precision, tuple[float, float]]] = {"int8": (0.6, 0.97), "bf16": (0.25, 0.99)}


@dataclass(frozen=True)
class Run:
    """A model, its rows, and its logits of them, (B,)."""

    model: Model
    rows: tuple[Row, ...]
    logits: Scores

    def again(self, members: Sequence[int]) -> Scores:
        """The logits of some rows, in one batch."""
        return self.model.logit(self.model.engine.forward([self.rows[i] for i in members]))


@dataclass(frozen=True)
class Both:
    """A model in a precision, and its logits in fp32."""

    precision: Precision
    exact: Scores
    rough: Run


def run(folder: Path, precision: Precision) -> Run:
    """Load a folder and score the golden pairs."""
    options = LoadOptions(precision=precision, streams=2)
    model = pointwise(load(Spec(name="tiny", folder=folder, options=options)).model)
    requests = (
        RerankRequest(
            query=Content(value=pair["query"]),
            documents=(Content(value=pair["document"]),),
            max_chunks_per_doc=1,
        )
        for pair in pairs()[:PAIRS]
    )
    rows = tuple(row for request in requests for row in model.prepare(request).rows)
    assert model.engine.info.precision == precision
    return Run(model, rows, model.logit(model.engine.forward(rows)))


def _precisions(name: str) -> tuple[Precision, ...]:
    """What the family of a writer has beside fp32."""
    kind = KINDS.get(name, name)
    return tuple(precision for precision in OPENVINO[kind] if precision != "fp32")


def _id(value: tuple[str, Precision]) -> str:
    return "-".join(value)


@pytest.fixture(scope="module", params=[(n, p) for n in WRITERS for p in _precisions(n)], ids=_id)
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Both:
    name, precision = request.param
    folder = WRITERS[name](tmp_path_factory.mktemp(name))
    return Both(precision, run(folder, "fp32").logits, run(folder, precision))


def test_scores_are_near_fp32s_and_not_those(both: Both) -> None:
    furthest, alike = AGREEMENT[both.precision]
    wanted, found = both.exact, both.rough.logits
    assert 1e-4 < np.abs(found - wanted).max() / wanted.std() < furthest
    a, b = (values.argsort().argsort().astype(np.float64) for values in (found, wanted))
    assert np.corrcoef(a, b)[0, 1] > alike


def test_scores_are_the_same_bit_for_bit_in_any_company_and_order(both: Both) -> None:
    rough, rng = both.rough, np.random.default_rng(5)
    for size in (1, 1, 2, 3, 5, 8, 13, 40):
        members = [int(i) for i in rng.permutation(len(rough.rows))[:size]]
        np.testing.assert_array_equal(rough.again(members), rough.logits[members])
    twice = [3, 4, 3, 11, 3]  # equal rows of one batch
    np.testing.assert_array_equal(rough.again(twice), rough.logits[twice])
