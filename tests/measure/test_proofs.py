"""What the catalog says of its proofs is there: files that exist, for every model."""

from __future__ import annotations

import json

import pytest

from rerankd.cli.models import models
from rerankd.measure.proofs import proof_of, recipe_of
from rerankd.models.catalog import ENTRIES, CatalogEntry
from tests.reference.catalog_page import PAGE, ROOT, page


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_a_models_proof_is_there(entry: CatalogEntry) -> None:
    proof = proof_of(entry)
    for path in (proof.loads, proof.golden, proof.live):
        assert not path or (ROOT / path).is_file(), path
    assert bool(proof.golden and proof.live) != entry.ships_inside
    assert proof.real_weights == entry.ships_inside
    assert proof.published == len(entry.examples)
    assert recipe_of(entry)


def test_the_page_has_every_model() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert page(text) == text, "python -m tests.reference.catalog_page"
    assert all(f"| {entry.name} |" in text for entry in ENTRIES)


def test_json_lines_say_scale_recipe_and_proof(
    capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    def measured(_name: str) -> float:
        return 1.0

    monkeypatch.setattr("rerankd.measure.estimate.machine_gflops", lambda: 1.0)
    monkeypatch.setattr("rerankd.measure.estimate.measured", measured)
    models(json=True)
    lines = {
        line["model"]: line for line in map(json.loads, capfdbinary.readouterr().out.splitlines())
    }
    assert lines.keys() == {entry.name for entry in ENTRIES}
    zerank = lines["zeroentropy/zerank-2"]
    assert (zerank["score"], zerank["recipe"]) == ("sigmoid-fifth", "zerank")
    assert zerank["proven"]["published"] == 2
    assert not zerank["proven"]["real_weights"]
    assert lines["rerankd-mini"]["proven"]["real_weights"]
