"""A model in another form is refused by the word for it, with one command that mends it."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import (
    load_file,  # pyright: ignore[reportUnknownVariableType] - PathLike
    save_file,  # pyright: ignore[reportUnknownVariableType] - PathLike
)

from rerankd.core.errors import StartError
from rerankd.models import foreign
from rerankd.models.load import Spec, load, resolve
from tests.checkpoints import bert, decoder

ST = "sentence_transformers"
POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'ab' * 32}\nsize 438007537\n"
Made = Callable[[Path], None]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return bert.write(tmp_path / "mine", bert.TINY_BERT)


def refusal(folder: Path, **spec: Any) -> str:
    with pytest.raises(StartError) as caught:
        load(Spec(name="mine", folder=folder, **spec))
    return str(caught.value)


def opens(folder: Path) -> None:
    load(Spec(name="mine", folder=folder)).model.engine.close()


def put(folder: Path, name: str, content: object) -> None:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


def config(folder: Path, **change: Any) -> None:
    raw = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    put(folder, "config.json", raw | change)


def only(name: str) -> Made:
    """The weights are in a file of that name alone."""

    def make(folder: Path) -> None:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / "model.safetensors").rename(folder / name)

    return make


def quantised(key: str, **how: object) -> Made:
    return lambda folder: config(folder, **{key: how})


def renamed(prefix: str) -> Made:
    return lambda folder: rename_all(folder, lambda name: prefix + name)


def rename_all(folder: Path, to: Callable[[str], str]) -> None:
    file = folder / "model.safetensors"
    tensors = {name: tensor.copy() for name, tensor in load_file(file).items()}
    save_file({to(name): tensor for name, tensor in tensors.items()}, file)


def adapter(folder: Path) -> None:
    """What PEFT saves of a cross-encoder: no model, no tokenizer."""
    for file in list(folder.iterdir()):
        file.unlink()
    said = {"peft_type": "LORA", "task_type": "SEQ_CLS", "base_model_name_or_path": "org/base"}
    put(folder, "adapter_config.json", said)
    tensors = {
        "base_model.model.bert.encoder.layer.0.attention.self.query.lora_A.weight": (8, 32),
        "base_model.model.classifier.weight": (1, 32),
    }
    made = {name: np.zeros(shape, np.float32) for name, shape in tensors.items()}
    save_file(made, folder / "adapter_model.safetensors")


def adapter_beside(folder: Path) -> None:
    put(folder, "adapter_config.json", {"peft_type": "IA3", "base_model_name_or_path": None})


def pickled_head(folder: Path) -> None:
    put(folder, "modules.json", [{"type": f"{ST}.models.Transformer", "path": ""}])
    put(folder, "config_sentence_transformers.json", {"model_type": "CrossEncoder"})
    (folder / "2_Dense").mkdir()
    (folder / "2_Dense" / "pytorch_model.bin").write_bytes(b"")


def sharded(count: int, of: int) -> Made:
    def make(folder: Path) -> None:
        tensors = load_file(folder / "model.safetensors")
        names = sorted(tensors)
        for index in range(count):
            part = {name: tensors[name].copy() for name in names[index::of]}
            save_file(part, folder / f"model-{index + 1:05}-of-{of:05}.safetensors")
        (folder / "model.safetensors").unlink()

    return make


def written(name: str, content: str) -> Made:
    def make(folder: Path) -> None:
        (folder / name).write_text(content, encoding="utf-8")

    return make


FORMS: dict[str, tuple[Made, str, str]] = {  # made, the word that helps, the command
    "GGUF": (only("model-q8_0.gguf"), "GGUF", "rerankd pull OWNER/NAME"),
    "ONNX": (only("onnx/model.onnx"), "ONNX", "rerankd pull"),
    "ONNX, at the root": (only("model.onnx"), "ONNX", "rerankd pull"),
    "OpenVINO": (only("openvino/openvino_model.xml"), "OpenVINO IR", "rerankd pull"),
    "TensorFlow": (only("tf_model.h5"), "TensorFlow", "rerankd pull"),
    "Flax": (only("flax_model.msgpack"), "Flax", "rerankd pull"),
    "Mistral's": (only("consolidated.safetensors"), "Mistral's own form", "rerankd pull"),
    "pointer": (written("model.safetensors", POINTER), "Git LFS pointer", "lfs pull"),
    "pointer to the tokenizer": (written("tokenizer.json", POINTER), "Git LFS", "lfs pull"),
    "page": (written("model.safetensors", "<!DOCTYPE html>\n<html>"), "HTML page", "rerankd pull"),
    "FP8": (quantised("quantization_config", quant_method="fp8"), "quantised ('fp8')", "pull"),
    "GPTQ": (quantised("quantization_config", quant_method="gptq"), "'gptq'", "rerankd pull"),
    "AWQ": (quantised("quantization_config", quant_method="awq"), "'awq'", "rerankd pull"),
    "bitsandbytes": (
        quantised("quantization_config", quant_method="bitsandbytes", load_in_4bit=True),
        "'bitsandbytes'",
        "rerankd pull",
    ),
    "compressed-tensors": (
        quantised("quantization_config", quant_method="compressed-tensors"),
        "'compressed-tensors'",
        "rerankd pull",
    ),
    "its first form": (
        quantised("compression_config", quant_method="sparseml"),
        "compression_config",
        "rerankd pull",
    ),
    "MLX": (quantised("quantization", group_size=64, bits=4), "quantised (4)", "rerankd pull"),
    "GPTQ, unsaid": (renamed("qweight"), "weights do not fit", "as transformers saves it"),
    "LoRA": (adapter, "an adapter (LORA, by PEFT)", "AutoPeftModelForSequenceClassification"),
    "adapter beside a model": (adapter_beside, "adapter (IA3", "merge_and_unload()"),
    "pickle": (only("pytorch_model.bin"), "Python pickle", ".save_pretrained(b)"),
    "pickle of a training loop": (only("best.pt"), "Python pickle", "torch.load(a + '/best.pt'"),
    "pickle of a module": (pickled_head, "2_Dense/pytorch_model.bin", "s.CrossEncoder(a"),
    "variant": (only("model.fp16.safetensors"), "variant", "ln -s model.fp16.safetensors"),
    "other name": (only("weights.safetensors"), "another's name", "ln -s weights.safetensors"),
    "shards without index": (sharded(2, 2), "model.safetensors.index.json", "python -c"),
    "one shard of two": (sharded(1, 2), "1 of the 2 files", "rerankd pull"),
    "DDP": (renamed("module."), "'module.' before its name", "removeprefix('module.')"),
    "compiled": (renamed("_orig_mod."), "torch.compile", "removeprefix('_orig_mod.')"),
    "compiled DDP": (renamed("_orig_mod.module."), "DDP", "removeprefix('_orig_mod.module.')"),
    "PEFT's wrapper": (
        renamed("base_model.model."),
        "'base_model.model.' before its name",
        "removeprefix('base_model.model.')",
    ),
}


@pytest.mark.parametrize("form", list(FORMS))
def test_a_foreign_form_has_its_word_and_one_command(form: str, folder: Path) -> None:
    make, word, command = FORMS[form]
    make(folder)
    said = refusal(folder)
    assert word in said
    assert command in said
    assert str(folder) in said
    commands = re.findall(r'python -c ["\']|ln -s|git -C|rerankd pull', said)
    assert len(commands) == (0 if form == "GPTQ, unsaid" else 1), said


@pytest.mark.parametrize("form", ["pointer", "GPTQ", "LoRA", "variant"])
def test_a_catalog_name_does_not_hide_it(form: str, folder: Path) -> None:
    make, word, _ = FORMS[form]
    make(folder)
    assert word in refusal(folder, named_by_catalog=True)


def test_every_shell_reads_the_commands(tmp_path: Path) -> None:
    """Whatever the folder is called."""
    made = bert.write(tmp_path / 'it\'s $HOME `x` "y" !z', bert.TINY_BERT)
    only("pytorch_model.bin")(made)
    said = refusal(made)
    code = shlex.split(said[said.index("python -c") :])[2]
    compile(code, "command", "exec")
    assert repr(str(made)) in code


# what can be mended without torch is mended here; the rest in tests/reference/live


def test_a_variant_is_read_when_it_has_the_name(folder: Path) -> None:
    only("model.fp16.safetensors")(folder)
    said = refusal(folder)
    subprocess.run(shlex.split(said[said.index("ln -s") :]), check=True)
    opens(folder)


def test_an_index_of_another_variant_is_read_when_it_has_the_name(folder: Path) -> None:
    sharded(2, 2)(folder)
    mend(folder)
    (folder / "model.safetensors.index.json").rename(folder / "model.safetensors.index.fp16.json")
    said = refusal(folder)
    assert "another variant" in said
    subprocess.run(shlex.split(said[said.index("ln -s") :]), check=True)
    opens(folder)


def mend(folder: Path) -> None:
    said = refusal(folder)
    code = shlex.split(said[said.index("python -c") :])[2]
    subprocess.run([sys.executable, "-c", code], check=True)


def test_shards_are_read_when_they_have_an_index(folder: Path) -> None:
    sharded(3, 3)(folder)
    mend(folder)
    opens(folder)


def test_all_that_is_asked_of_an_adapter_is_in_its_command(folder: Path) -> None:
    adapter(folder)
    said = refusal(folder)
    assert "'org/base'" in said
    assert "num_labels=1" in said
    assert "base_model_name_or_path" in said  # where its tokenizer is
    (folder / "tokenizer.json").write_text("{}", encoding="utf-8")
    assert "AutoTokenizer.from_pretrained(a)" in refusal(folder)


def test_an_adapter_of_a_decoder_is_merged_into_one(folder: Path) -> None:
    put(folder, "adapter_config.json", {"peft_type": "LORA", "task_type": "CAUSAL_LM"})
    assert "peft.AutoPeftModelForCausalLM.from_pretrained(a)" in refusal(folder)


def test_an_adapter_that_changes_no_weights_has_no_command(folder: Path) -> None:
    put(folder, "adapter_config.json", {"peft_type": "PROMPT_TUNING"})
    said = refusal(folder)
    assert "PROMPT_TUNING" in said
    assert "cannot be merged" in said


def test_an_adapter_saved_inside_its_model_must_be_merged_where_it_was_trained(
    folder: Path,
) -> None:
    rename_all(
        folder,
        lambda name: "base_model.model." + name.replace("query.weight", "query.base_layer.weight"),
    )
    assert "merge_and_unload" in refusal(folder)


def test_quantised_tensors_are_called_that_without_a_word_in_config_json(folder: Path) -> None:
    rename_all(folder, lambda name: re.sub(r"query\.weight$", "query.qweight", name))
    assert "They are quantised" in refusal(folder)


def test_a_decoder_without_its_wrapper_is_recognised(tmp_path: Path) -> None:
    made = decoder.write(tmp_path, decoder.TINY_QWEN3)
    renamed("module.")(made)
    assert "'module.' before its name" in refusal(made)


def test_a_file_from_a_training_run_is_no_weight(folder: Path) -> None:
    only("onnx/model.onnx")(folder)
    (folder / "training_args.bin").write_bytes(b"")
    assert "ONNX" in refusal(folder)


@pytest.mark.parametrize(
    "head",
    [
        "---\nlicense: mit\nbase_model: org/whole\n---\n# Title",
        "---\nbase_model:\n- org/whole\n- org/other\n---\n",
        "---\r\nbase_model: 'org/whole'\r\n---\r\n",
    ],
)
def test_the_readme_says_what_a_quantised_folder_was_made_from(head: str, folder: Path) -> None:
    quantised("quantization_config", quant_method="fp8")(folder)
    (folder / "README.md").write_bytes(head.encode())
    assert "rerankd pull org/whole" in refusal(folder)


@pytest.mark.parametrize(
    "text",
    ["base_model: org/whole\n", "---\nx: 1\n---\nbase_model: a/b", "---\nbase_model: x\n---"],
)
def test_a_readme_that_names_no_repository_is_not_quoted(text: str, folder: Path) -> None:
    (folder / "README.md").write_text(text, encoding="utf-8")
    assert foreign.origin(folder) is None


def test_a_readme_is_read_to_a_bound(folder: Path) -> None:
    text = "---\n" + "x: 1\n" * 20_000 + "base_model: org/whole\n---\n"
    (folder / "README.md").write_text(text, encoding="utf-8")
    assert foreign.origin(folder) is None


def test_a_folder_of_many_files_is_listed_to_a_bound(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(foreign, "MAX_FILES", 8)
    for index in range(40):
        (folder / f"a{index:03}").write_text("", encoding="utf-8")
    assert "more than 8 files" in refusal(folder)


# a folder around the model's


def test_a_hubs_cache_is_told_from_its_snapshot(tmp_path: Path) -> None:
    outer = tmp_path / "models--org--name"
    inner = bert.write(outer / "snapshots" / "abc", bert.TINY_BERT)
    assert f"rerankd serve --model {inner}" in refusal(outer)


def test_a_training_runs_newest_checkpoint_is_named(tmp_path: Path) -> None:
    for step in (500, 1000, 900):
        bert.write(tmp_path / f"checkpoint-{step}", bert.TINY_BERT)
    said = refusal(tmp_path)
    assert said.endswith(f"rerankd serve --model {tmp_path / 'checkpoint-1000'}")


# before anything is opened


@pytest.mark.parametrize("name", ["model.gguf", "model.safetensors", "pytorch_model.bin"])
def test_a_file_is_not_a_folder(name: str, folder: Path) -> None:
    path = folder / name
    path.write_bytes(b"")
    with pytest.raises(StartError) as caught:
        resolve(str(path))
    said = str(caught.value)
    assert "is a file" in said
    assert ("GGUF" in said) == name.endswith("gguf")
    assert ("rerankd pull" in said) == name.endswith("gguf")
    assert (f"--model {folder}" in said) == (not name.endswith("gguf"))


def test_utf_16_is_called_that(folder: Path) -> None:
    path = folder / "config.json"
    path.write_bytes(path.read_text(encoding="utf-8").encode("utf-16"))
    said = refusal(folder)
    assert "UTF-16" in said
    assert "iconv" in said


def test_a_byte_order_mark_changes_nothing(folder: Path) -> None:
    path = folder / "config.json"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    opens(folder)
