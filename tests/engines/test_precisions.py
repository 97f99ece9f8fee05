"""Which precision a model runs in, by what the operator wrote: in either word, or refused."""

from __future__ import annotations

from typing import get_args

import pytest

from rerankd.core.errors import PrecisionUnavailable, StartError
from rerankd.core.options import LoadOptions, Precision, asked_precision
from rerankd.engines.precisions import OPENVINO, openvino_precision, torch_precision


def as_bert(options: LoadOptions) -> Precision:
    return openvino_precision(options, "bert", "a BERT")


@pytest.mark.parametrize(
    ("options", "asked"),
    [
        (LoadOptions(), None),
        (LoadOptions(quantization="int8"), "int8"),
        (LoadOptions(precision="int8"), "int8"),
        (LoadOptions(precision="int8", quantization="int8"), "int8"),
        (LoadOptions(precision="bf16"), "bf16"),
        (LoadOptions(precision="auto"), "auto"),
    ],
)
def test_a_precision_has_two_words(options: LoadOptions, asked: str | None) -> None:
    assert asked_precision(options) == asked


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16", "auto"])
def test_two_words_that_contradict_each_other_are_refused_by_name(precision: Precision) -> None:
    options = LoadOptions(precision=precision, quantization="int8")
    says = f'precision = "{precision}" and quantization = "int8" contradict'
    for ask in (asked_precision, torch_precision, as_bert):
        with pytest.raises(StartError, match=says):
            ask(options)


@pytest.mark.parametrize("kind", OPENVINO)
def test_every_kind_runs_in_fp32_and_refuses_what_it_has_not(kind: str) -> None:
    """The refusal repeats the word that was written, and says what there is."""
    has = OPENVINO[kind]
    assert openvino_precision(LoadOptions(), kind, "x") == "fp32" == has[0]
    for precision in get_args(Precision):
        options = LoadOptions(precision=precision)
        if precision in has:
            assert openvino_precision(options, kind, "x") == precision
            continue
        with pytest.raises(PrecisionUnavailable) as refused:
            openvino_precision(options, kind, "a such model")
        assert f'precision = "{precision}" is not for a such model' in str(refused.value)
        assert all(each in str(refused.value) for each in has)
    if "int8" not in has:
        with pytest.raises(PrecisionUnavailable, match=r'quantization = "int8" is not for x.*fp32'):
            openvino_precision(LoadOptions(quantization="int8"), kind, "x")


def test_fp16_is_of_torch_alone() -> None:
    assert not any("fp16" in has for has in OPENVINO.values())
    for precision in ("fp32", "bf16", "fp16"):
        assert torch_precision(LoadOptions(precision=precision)) == precision
    assert torch_precision(LoadOptions()) is None
    for options in (LoadOptions(quantization="int8"), LoadOptions(precision="int8")):
        with pytest.raises(PrecisionUnavailable, match=r'"int8" is for engine = "openvino"'):
            torch_precision(options)


def test_auto_must_be_decided_before_an_engine_is_built() -> None:
    options = LoadOptions(precision="auto")
    for ask in (torch_precision, as_bert):
        with pytest.raises(ValueError, match="decided before"):
            ask(options)
