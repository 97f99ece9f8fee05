"""A catalog model must give the scores that its model card prints."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import pytest

from rerankd.cli.doctor import doctor
from rerankd.core.errors import StartError
from rerankd.core.request import Content, RerankRequest
from rerankd.core.score import sigmoid
from rerankd.models import catalog, hub
from rerankd.models.catalog import CatalogEntry
from rerankd.models.cross_encoder import load_cross_encoder
from rerankd.models.families import CROSS_ENCODER
from rerankd.models.load import load, resolve
from rerankd.models.published import PUBLISHED, Example
from tests.checkpoints.bert import TINY_XLMR, write

# its made-up weights happen to rank the self-check's relevant documents first
LUCKY = dataclasses.replace(TINY_XLMR, layers=1, intermediate=32)
NAME = "someone/tiny"
QUERY, DOCUMENT = "what is panda?", "The giant panda is a bear species endemic to China."


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("lucky"), LUCKY)


@pytest.fixture(scope="module")
def logit(folder: Path) -> float:
    """What the tiny model gives for the pair."""
    model = load_cross_encoder(folder, name=NAME)
    request = RerankRequest(
        query=Content(value=QUERY), documents=(Content(value=DOCUMENT),), max_chunks_per_doc=1
    )
    score = float(model.logit(model.engine.forward(model.prepare(request).rows))[0])
    model.engine.close()
    return score


def printed(score: float, **change: object) -> Example:
    example = Example(
        query=QUERY,
        document=DOCUMENT,
        score=score,
        scale="logit",
        tolerance=0.01,
        source="its card",
    )
    return dataclasses.replace(example, **change)  # pyright: ignore[reportArgumentType]


def in_catalog(
    monkeypatch: pytest.MonkeyPatch, folder: Path, *examples: Example, window: int = 128
) -> None:
    """The tiny checkpoint as a model of the catalog, with these figures on its card."""
    entry = CatalogEntry(name=NAME, family=CROSS_ENCODER, window_tokens=window)
    monkeypatch.setattr(catalog, "find", {NAME: entry}.get)
    monkeypatch.setattr(catalog, "PUBLISHED", {NAME: examples})

    def cached_folder(repository: str) -> Path:
        return folder

    monkeypatch.setattr(hub, "cached_folder", cached_folder)


def test_a_model_that_gives_the_printed_scores_is_served(
    folder: Path, logit: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    relevance = printed(sigmoid(logit) - 0.004, scale="relevance")
    in_catalog(monkeypatch, folder, printed(logit + 0.009), relevance)
    loaded = load(resolve(NAME))
    loaded.model.engine.close()
    first, second = loaded.examples
    assert first.score == pytest.approx(logit)
    assert second.score == pytest.approx(sigmoid(logit))


@pytest.mark.parametrize("off", [0.02, -0.02, 3.0])
def test_a_model_that_gives_other_scores_is_refused(
    off: float, folder: Path, logit: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_catalog(monkeypatch, folder, printed(logit), printed(logit + off))
    with pytest.raises(StartError, match="1 of 2 scores are not those that its model card prints"):
        load(resolve(NAME))


def test_the_scale_of_the_printed_figure_counts(
    folder: Path, logit: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_catalog(monkeypatch, folder, printed(logit, scale="relevance"))
    with pytest.raises(StartError, match="relevance"):
        load(resolve(NAME))


def test_a_folder_of_the_operators_own_is_not_held_to_a_card(
    folder: Path, logit: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_catalog(monkeypatch, folder, printed(logit + 3.0))
    spec = resolve(str(folder))
    assert spec.examples == ()
    loaded = load(spec)
    loaded.model.engine.close()
    assert loaded.examples == ()


def test_an_example_that_the_window_cuts_is_not_compared(
    folder: Path, logit: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = printed(logit + 3.0, document=DOCUMENT * 20)
    in_catalog(monkeypatch, folder, long, window=64)
    loaded = load(resolve(NAME))
    loaded.model.engine.close()
    assert [each.score for each in loaded.examples] == [None]


def test_a_coarser_engine_may_be_further_off_but_not_by_a_wrong_template() -> None:
    example = printed(5.0)
    allowed = [example.allowed(precision) for precision in ("fp32", "fp16", "bf16", "int8")]
    assert allowed == sorted(allowed)
    assert allowed[0] == 0.01
    assert allowed[-1] < 1.5
    assert printed(0.5, scale="relevance").allowed("int8") < 0.3


def test_doctor_prints_each_example_with_its_score(
    folder: Path,
    logit: float,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    in_catalog(monkeypatch, folder, printed(logit + 0.004))
    doctor(NAME)
    line = next(each for each in capsys.readouterr().out.splitlines() if "published" in each)
    assert f"{logit:.4f} (logit; {logit + 0.004:.4f} ± 0.01 by its card)" in line
    assert QUERY in line


def test_doctor_says_that_no_figures_are_known(capsys: pytest.CaptureFixture[str]) -> None:
    doctor()
    assert "no scores of its model card are known" in capsys.readouterr().out


@pytest.mark.parametrize("name", list(PUBLISHED))
def test_the_figures_are_of_catalog_models_and_tell_pairs_apart(name: str) -> None:
    entry = catalog.find(name)
    assert entry is not None
    assert len(entry.examples) >= 2
    for example in entry.examples:
        assert math.isfinite(example.score)
        assert example.scale != "relevance" or 0.0 < example.score < 1.0
        assert example.source.startswith("https://")
    scores = [example.score for example in entry.examples]
    assert max(scores) - min(scores) > 4 * max(each.tolerance for each in entry.examples)
