"""The command in a refusal makes a folder that is read, and whose scores are the reference's.

Run by `pytest -m reference`; needs torch, transformers, sentence-transformers and peft.
"""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rerankd.core.errors import StartError
from rerankd.core.request import Content, RerankRequest
from rerankd.models.load import Spec, load
from tests.checkpoints import bert, decoder

pytestmark = [
    pytest.mark.reference,
    pytest.mark.timeout(600),
    # peft asks transformers under an old name
    pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning"),
]
PAIRS = [("where is Paris", f"Paris is in France, said {word}") for word in ("he", "the king", "x")]
ST = "sentence_transformers"


def imported(name: str) -> Any:
    return import_module(name)


def refusal(folder: Path) -> str:
    with pytest.raises(StartError) as caught:
        load(Spec(name="mine", folder=folder))
    return str(caught.value)


def mended(folder: Path, suffix: str) -> Path:
    """What the command of a folder's refusal makes, beside it or in it."""
    said = refusal(folder)
    code = shlex.split(said[said.index("python -c") :])[2]
    subprocess.run([sys.executable, "-c", code], check=True)
    return Path(f"{folder}{suffix}")


def logits(folder: Path) -> list[float]:
    """Ours."""
    model: Any = load(Spec(name="mine", folder=folder)).model
    try:
        found: list[float] = []
        for query, document in PAIRS:
            asked = RerankRequest(query=Content(value=query), documents=(Content(value=document),))
            found += model.engine.forward(model.prepare(asked).rows).ravel().tolist()
    finally:
        model.engine.close()
    return found


def reference(model: Any, folder: Path) -> list[float]:
    """What a module of torch says of the same pairs."""
    torch, transformers = imported("torch"), imported("transformers")
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    with torch.no_grad():
        made = [model.eval()(**tokenizer(*pair, return_tensors="pt")).logits for pair in PAIRS]
    return [float(each[0, 0]) for each in made]


def same(ours: Sequence[float], theirs: Sequence[float]) -> None:
    assert np.ptp(theirs) > 1e-3
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return bert.write(tmp_path / "mine", bert.TINY_BERT)


def test_a_pickle_becomes_safetensors(folder: Path) -> None:
    wanted = logits(folder)
    torch = imported("torch")
    loaded = imported("safetensors.torch").load_file(folder / "model.safetensors")
    torch.save(loaded, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    same(logits(mended(folder, "-converted")), wanted)


@pytest.mark.parametrize("key", [None, "state_dict", "model"])
def test_a_training_loops_file_becomes_safetensors(key: str | None, folder: Path) -> None:
    wanted = logits(folder)
    torch = imported("torch")
    loaded = imported("safetensors.torch").load_file(folder / "model.safetensors")
    torch.save(loaded if key is None else {key: loaded}, folder / "best.pt")
    (folder / "model.safetensors").unlink()
    same(logits(mended(folder, "")), wanted)


def test_a_folder_of_modules_is_converted_by_its_own_library(folder: Path) -> None:
    """The head of an old folder is a pickle: what is written has none."""
    made = imported(ST).CrossEncoder(str(folder), device="cpu")
    saved = folder.parent / "saved"
    made.save_pretrained(str(saved))
    wanted = logits(folder)
    torch = imported("torch")
    loaded = imported("safetensors.torch").load_file(saved / "model.safetensors")
    torch.save(loaded, saved / "pytorch_model.bin")
    (saved / "model.safetensors").unlink()
    assert "s.CrossEncoder(a" in refusal(saved)
    converted = mended(saved, "-converted")
    assert not list(converted.rglob("*.bin"))
    same(logits(converted), wanted)


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.module.", "base_model.model."])
def test_a_wrapper_is_taken_off(prefix: str, folder: Path) -> None:
    wanted = logits(folder)
    files = imported("safetensors.torch")
    file = folder / "model.safetensors"
    tensors = {prefix + k: v.clone() for k, v in files.load_file(file).items()}
    files.save_file(tensors, file)
    same(logits(mended(folder, "-stripped")), wanted)


def test_a_wrapper_is_taken_off_shards_in_half_precision(tmp_path: Path) -> None:
    made = decoder.write(tmp_path / "mine", decoder.TINY_QWEN2)
    wanted = logits(made)
    files = imported("safetensors.torch")
    for file in made.glob("*.safetensors"):
        tensors = {f"module.{k}": v.clone() for k, v in files.load_file(file).items()}
        files.save_file(tensors, file)
    index = made / "model.safetensors.index.json"
    raw = json.loads(index.read_text(encoding="utf-8"))
    raw["weight_map"] = {f"module.{k}": v for k, v in raw["weight_map"].items()}
    index.write_text(json.dumps(raw), encoding="utf-8")
    assert logits(mended(made, "-stripped")) == wanted


@pytest.mark.parametrize("tokenizer", ["with", "without"])
def test_an_adapter_is_merged_into_its_model(tokenizer: str, folder: Path) -> None:
    peft, torch, transformers = (imported(name) for name in ("peft", "torch", "transformers"))
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder)
    torch.manual_seed(1)
    config = peft.LoraConfig(
        task_type="SEQ_CLS", r=4, target_modules=["query", "value"], init_lora_weights=False
    )
    adapted = peft.get_peft_model(model, config)
    with torch.no_grad():
        for parameter in adapted.parameters():
            if parameter.requires_grad and parameter.dim() > 1:
                parameter.normal_(0, 0.3)
    saved = folder.parent / "adapter"
    adapted.save_pretrained(saved)
    if tokenizer == "with":
        shutil.copy(folder / "tokenizer.json", saved)
        shutil.copy(folder / "tokenizer_config.json", saved)
    same(logits(mended(saved, "-merged")), reference(adapted, folder))


def test_transformers_loads_the_adapters_base_and_not_the_weights_beside_it(
    folder: Path,
) -> None:
    """Why adapter_config.json is refused beside weights too."""
    other = bert.write(folder.parent / "other", bert.TINY_BERT)
    files = imported("safetensors.torch")
    tensors = files.load_file(other / "model.safetensors")
    changed = {k: (v * -1.0 if k == "classifier.weight" else v.clone()) for k, v in tensors.items()}
    files.save_file(changed, other / "model.safetensors", {"format": "pt"})
    peft, transformers = imported("peft"), imported("transformers")
    classes = transformers.AutoModelForSequenceClassification
    config = peft.LoraConfig(task_type="SEQ_CLS", r=4, target_modules=["query"])
    peft.get_peft_model(classes.from_pretrained(other), config).save_pretrained(
        folder.parent / "adapter"
    )
    plain = reference(classes.from_pretrained(folder), folder)
    for file in (folder.parent / "adapter").glob("adapter_*"):
        shutil.copy(file, folder)
    told = reference(classes.from_pretrained(folder), folder)
    same(told, reference(classes.from_pretrained(other), other))
    assert np.abs(np.subtract(told, plain)).max() > 1e-2
    assert "adapter" in refusal(folder)
