"""What an operator may not ask of an engine is refused at start, with the way out."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from rerankd.core.errors import StartError
from rerankd.core.options import LoadOptions
from rerankd.models.causal_yes_no import load_causal_yes_no
from rerankd.models.cross_encoder import load_cross_encoder
from tests.checkpoints.bert import TINY_BERT, write
from tests.checkpoints.decoder import TINY_QWEN3
from tests.checkpoints.decoder import write as write_decoder


def test_without_torch_its_engine_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith("rerankd.engines.torch.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch", None)
    options = LoadOptions(engine="torch")
    with pytest.raises(StartError, match=r"pip install 'rerankd\[torch\]'"):
        load_cross_encoder(write(tmp_path, TINY_BERT), name="tiny", options=options)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (LoadOptions(device="cuda"), 'set engine = "torch"'),
        (LoadOptions(precision="fp16"), 'set engine = "torch"'),
        (LoadOptions(engine="torch", streams=2), "streams is for"),
    ],
)
def test_a_choice_that_would_be_ignored_is_refused(
    options: LoadOptions, says: str, tmp_path: Path
) -> None:
    with pytest.raises(StartError, match=says):
        load_cross_encoder(write(tmp_path, TINY_BERT), name="tiny", options=options)


def test_streams_of_a_decoder_are_refused(tmp_path: Path) -> None:
    options = LoadOptions(streams=2)
    with pytest.raises(StartError, match="a decoder runs one batch at once"):
        load_causal_yes_no(write_decoder(tmp_path, TINY_QWEN3), name="tiny", options=options)
