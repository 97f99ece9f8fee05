"""A load that was begun ahead is the load that is asked for later, once."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rerankd.core.errors import StartError
from rerankd.models import ahead
from rerankd.models.ahead import Ahead
from rerankd.models.load import Loaded, Spec

SPEC = Spec(name="rerankd-lexical")


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of what is loaded, whoever asked."""
    names: list[str] = []

    def load(spec: Spec) -> Loaded:
        names.append(spec.name)
        if spec.name == "broken":
            raise StartError("broken")
        return Loaded(model=object(), warnings=())  # type: ignore[arg-type]

    monkeypatch.setattr(ahead, "load", load)
    return names


def test_what_was_begun_is_given_once(loads: list[str]) -> None:
    begun = Ahead(SPEC)
    first, second = begun.load(SPEC), begun.load(SPEC)
    assert first is not second, "the second model has its own engine"
    assert loads == [SPEC.name, SPEC.name]


def test_another_model_or_another_option_is_loaded_when_asked_for(loads: list[str]) -> None:
    begun = Ahead(SPEC)
    begun.load(replace(SPEC, vector_cache_bytes=0))
    begun.load(replace(SPEC, name="other"))
    assert begun.load(SPEC) is not None
    assert sorted(loads) == ["other", SPEC.name, SPEC.name]


def test_what_went_wrong_is_told_where_the_model_is_asked_for(loads: list[str]) -> None:
    begun = Ahead(replace(SPEC, name="broken"))
    with pytest.raises(StartError, match="broken"):
        begun.load(replace(SPEC, name="broken"))
    assert loads == ["broken"]
