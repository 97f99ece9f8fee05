"""int8 on OpenVINO: close to fp32 and not equal to it, the same in any company, never by itself."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from rerankd.core.errors import StartError
from rerankd.core.options import LoadOptions
from rerankd.core.request import Content, RerankRequest
from rerankd.core.rows import Logits, Row
from rerankd.engines.openvino.int8 import Int8Weights, quantize
from rerankd.models.cross_encoder import CrossEncoder, load_cross_encoder
from rerankd.models.selfcheck import self_check
from tests.checkpoints.bert import GOLDEN_SHAPES, MINILM_L6, write
from tests.reference.make_goldens import pairs

INT8 = LoadOptions(quantization="int8", streams=2)
PAIRS = 150
SHAPES = {
    "minilm-l6": MINILM_L6,
    **{name: GOLDEN_SHAPES[name] for name in ("tiny-bert-2-labels", "tiny-xlmr")},
}


@dataclass(frozen=True)
class Both:
    """One checkpoint in fp32 and int8, and both logits of the same rows."""

    model: CrossEncoder
    rows: tuple[Row, ...]
    fp32: Logits
    int8: Logits


@pytest.fixture(scope="module", params=list(SHAPES))
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Both:
    name: str = request.param
    folder = write(tmp_path_factory.mktemp(name), SHAPES[name])
    plain = load_cross_encoder(folder, name=name)
    model = load_cross_encoder(folder, name=name, options=INT8)
    rows: list[Row] = []
    for pair in pairs()[:PAIRS]:
        rows += model.prepare(
            RerankRequest(
                query=Content(value=pair["query"]),
                documents=(Content(value=pair["document"]),),
                max_chunks_per_doc=1,
            )
        ).rows
    assert plain.engine.info.precision == "fp32"
    return Both(model, tuple(rows), plain.engine.forward(rows), model.engine.forward(rows))


def test_int8_orders_as_fp32_does_and_is_not_fp32(both: Both) -> None:
    assert both.model.engine.info.precision == "int8"
    for quantised, exact in zip(both.int8.T, both.fp32.T, strict=True):
        ranks = (values.argsort().argsort() for values in (quantised, exact))
        assert np.corrcoef(*ranks)[0, 1] > 0.985
        assert 1e-3 < np.abs(quantised - exact).max() / exact.std() < 0.5


def test_int8_scores_are_the_same_bit_for_bit_in_any_company(both: Both) -> None:
    rng = np.random.default_rng(5)
    for size in (1, 1, 1, 2, 3, 5, 8, 13, 40):
        members = [int(i) for i in rng.permutation(len(both.rows))[:size]]
        again = both.model.engine.forward([both.rows[i] for i in members])
        np.testing.assert_array_equal(again, both.int8[members])


def test_the_self_check_passes(both: Both) -> None:
    warnings = self_check(both.model)  # made-up weights may rank badly
    assert all("relevant document" in warning for warning in warnings)


@given(
    arrays(
        np.float32,
        st.tuples(st.integers(1, 4), st.integers(1, 8)),
        elements=st.floats(-1e4, 1e4, width=32),
    )
)
def test_a_quantised_matrix_is_off_by_half_a_scale_at_most(
    matrix: npt.NDArray[np.float32],
) -> None:
    rounded = quantize(matrix)
    values, scales = rounded.values, rounded.scales[:, None]
    assert values.dtype == np.int8
    assert values.shape == matrix.shape
    assert np.abs(values.astype(int)).max() <= 127
    assert np.isfinite(scales).all()
    assert (np.abs(values * scales - matrix) <= scales * 0.5001).all()
    used = np.abs(matrix).max(axis=1) > 1e-30
    assert (np.abs(values).max(axis=1)[used] == 127).all()


def test_a_weight_that_is_not_finite_is_refused() -> None:
    def damaged(name: str) -> npt.NDArray[np.float32]:
        return np.full((2, len(name)), np.nan, np.float32)

    with pytest.raises(StartError, match=r"encoder\.layer\.0\.x holds values that are not finite"):
        Int8Weights(damaged, ("encoder.layer.",))("encoder.layer.0.x")
