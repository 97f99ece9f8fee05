"""A folder of pickles: one command saves weights and tokenizer, and nothing is made up."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from rerankd.core.errors import StartError
from rerankd.models.load import Spec, load
from tests.checkpoints import bert


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return bert.write(tmp_path / "mine", bert.TINY_BERT)


def refusal(folder: Path) -> str:
    with pytest.raises(StartError) as caught:
        load(Spec(name="mine", folder=folder))
    return str(caught.value)


def command(said: str) -> str:
    """The Python of the one command in a message."""
    found = re.findall(r'python -c "([^"]+)"', said)
    assert len(found) == 1
    return found[0]


def test_one_command_saves_weights_and_tokenizer(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    said = refusal(folder)
    code = command(said)
    compile(code, "command", "exec")
    assert "pickle" in said
    assert repr(str(folder)) in code
    assert code.count(".save_pretrained(b)") == 2
    assert "AutoTokenizer" in code


@pytest.mark.parametrize("name", ["vocab.txt", "sentencepiece.bpe.model"])
def test_an_old_tokenizer_is_converted_by_the_same_command(folder: Path, name: str) -> None:
    (folder / "tokenizer.json").rename(folder / name)
    said = refusal(folder)
    assert "tokenizer.json is missing" in said
    assert "First put" not in said
    assert command(said).count(".save_pretrained(b)") == 2


def test_where_there_is_no_tokenizer_its_files_come_first(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    said = refusal(folder)
    assert "First put the publisher's tokenizer files there" in said
    assert said.index("First put") < said.index("python -c")


def test_a_tokenizer_that_was_made_up_is_refused(folder: Path) -> None:
    """What transformers saves of a folder without tokenizer files: five special tokens."""
    path = folder / "tokenizer.json"
    raw = json.loads(path.read_text(encoding="utf-8"))
    raw["model"]["vocab"] = {t["content"]: t["id"] for t in raw["added_tokens"]}
    path.write_text(json.dumps(raw), encoding="utf-8")
    assert "has 5 tokens, but the model has 4000" in refusal(folder)
