"""What the libraries make of a key in a file is what they made of it when it was recorded.

Run by `pytest -m reference`; of transformers 4.57.6 only the record is kept.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from tests.reference.folder_cases import CASES
from tests.reference.folder_matrix import FIVE, GOLDENS, ST, near
from tests.reference.make_folder_goldens import (
    Json,
    answer,
    by_sentence_transformers,
    by_transformers,
)

pytestmark = [
    pytest.mark.reference,
    pytest.mark.timeout(900),
    pytest.mark.filterwarnings("ignore"),  # folders that a library warns of
]
READERS: dict[str, Callable[[Path], Json]] = {FIVE: by_transformers, ST: by_sentence_transformers}


@pytest.mark.parametrize("reader", list(READERS))
def test_it_is_the_version_that_was_recorded(reader: str) -> None:
    library, _, version = reader.partition(" ")
    found: Any = import_module(library.replace("-", "_"))
    assert found.__version__ == version


@pytest.mark.parametrize("reader", list(READERS))
@pytest.mark.parametrize("name", list(CASES))
def test_a_reader_answers_as_it_was_recorded(
    name: str, reader: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    wanted = GOLDENS[reader][name][1]
    found = answer(CASES[name], READERS[reader], changed=True)
    assert found.get("error") == wanted.get("error"), found
    assert found.get("ids") == wanted.get("ids")
    assert found.get("window") == wanted.get("window")
    assert near(found.get("scores", []), wanted.get("scores", []), 1e-4)
