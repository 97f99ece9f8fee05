"""Vectors of embedding models are what sentence-transformers says today.

Run by `pytest -m reference`; without torch and sentence-transformers these fail.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.checkpoints.bi_encoder import E5, GOLDEN_SHAPES, TRUE_WIDTH, write
from tests.models.test_bi_encoder import TOLERANCE, opened, vectors_of
from tests.reference.make_bi_encoder_goldens import GOLDEN, BiEncoderReference, kept, texts

pytestmark = [pytest.mark.reference, pytest.mark.timeout(1800)]
GOLDENS: dict[str, dict[str, list[list[float]]]] = json.loads(GOLDEN.read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", list(GOLDEN_SHAPES))
def test_320_texts_and_as_many_queries(name: str, tmp_path: Path) -> None:
    folder = write(tmp_path / name, GOLDEN_SHAPES[name])
    model, reference = opened(folder), BiEncoderReference(folder)
    wanted = texts()
    assert len(wanted) >= 300
    plain, queries = reference.plain(wanted), reference.queries(wanted)
    scale = max(1.0, float(np.abs(plain).max()))
    atol = TOLERANCE * scale
    np.testing.assert_allclose(vectors_of(model, wanted), plain, rtol=0, atol=atol)
    found = vectors_of(model, wanted, prompts=("query",))
    np.testing.assert_allclose(found, queries, rtol=0, atol=atol)
    np.testing.assert_allclose(kept(plain[::4]), GOLDENS[name]["plain"], rtol=0, atol=10 * atol)
    model.engine.close()


def test_every_prompt_by_name(tmp_path: Path) -> None:
    """`passage` for a document, though encode_document() of 6.2 takes an empty `document` first."""
    folder = write(tmp_path / "m", E5)
    model, reference = opened(folder), BiEncoderReference(folder)
    for name, asked in (
        ("clustering", ("clustering",)),
        ("passage", ("document", "passage", "corpus")),
    ):
        found = vectors_of(model, texts()[::8], prompts=asked)
        wanted = reference.named(texts()[::8], name)
        np.testing.assert_allclose(found, wanted, rtol=0, atol=TOLERANCE)
    model.engine.close()


@pytest.mark.parametrize("name", list(TRUE_WIDTH))
def test_true_widths(name: str, tmp_path: Path) -> None:
    """Bodies as wide as the published ones, with few layers: 40 texts."""
    folder = write(tmp_path / name, TRUE_WIDTH[name])
    model, reference = opened(folder), BiEncoderReference(folder)
    wanted = texts()[::8]
    np.testing.assert_allclose(
        vectors_of(model, wanted), reference.plain(wanted), rtol=0, atol=TOLERANCE
    )
    model.engine.close()
