"""Folders of Qwen3-VL: what is read, what is refused, and that torch is chosen by itself."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from tokenizers import Tokenizer

from rerankd.core.errors import StartError
from rerankd.core.options import LoadOptions
from rerankd.models import catalog, hub, vision_checkpoint, vision_pixels
from rerankd.models.folder_word import read_word
from rerankd.models.load import Spec, load, resolve
from rerankd.models.vision_checkpoint import open_vision
from tests.checkpoints.decoder import TINY_QWEN3
from tests.checkpoints.decoder import write as write_decoder
from tests.checkpoints.vision import GOLDEN_SHAPES, TINY, TINY_UNTIED, tensors, write

PUBLISHED: dict[str, dict[str, Any]] = {  # config.json of Qwen3-VL-2B and -8B, what is read of it
    "2B": {
        "text": {"hidden_size": 2048, "num_hidden_layers": 28, "num_attention_heads": 16},
        "intermediate": 6144,
        "vision": {"depth": 24, "hidden_size": 1024, "intermediate_size": 4096},
        "deepstack": [5, 11, 17],
        "tied": True,
        "parameters": 2_127_532_032,
    },
    "8B": {
        "text": {"hidden_size": 4096, "num_hidden_layers": 36, "num_attention_heads": 32},
        "intermediate": 12288,
        "vision": {"depth": 27, "hidden_size": 1152, "intermediate_size": 4304},
        "deepstack": [8, 16, 24],
        "tied": False,
        "parameters": 8_767_123_696,
    },
}


def edit(path: Path, change: dict[str, Any]) -> None:
    """Change fields, nested ones by "outer.inner"."""
    fields = json.loads(path.read_text(encoding="utf-8"))
    for name, value in change.items():
        *outer, last = name.split(".")
        at = fields
        for part in outer:
            at = at[part]
        at[last] = value
    path.write_text(json.dumps(fields), encoding="utf-8")


@pytest.mark.parametrize("name", list(GOLDEN_SHAPES))
def test_a_folder_is_read_whole(name: str, tmp_path: Path) -> None:
    shape = GOLDEN_SHAPES[name]
    checkpoint = open_vision(write(tmp_path, shape))
    config = checkpoint.config
    assert (config.text.tied, config.text.rope_theta) == (shape.tied, 5e6)
    assert config.sections == shape.sections
    assert config.vision.deepstack == shape.deepstack
    assert config.vision.side == shape.side
    stored = np.float16 if shape.shards > 1 else np.float32
    for full, tensor in tensors(shape).items():
        canonical = full.removeprefix("model.").removeprefix("language_model.")
        got = checkpoint.weights(canonical)
        np.testing.assert_array_equal(got, tensor.astype(stored).astype(np.float32))


@pytest.mark.parametrize("size", list(PUBLISHED))
def test_the_published_sizes_are_read(size: str) -> None:
    known = PUBLISHED[size]
    raw = {
        "text_config": {
            **known["text"],
            "intermediate_size": known["intermediate"],
            "num_key_value_heads": 8,
            "head_dim": 128,
            "vocab_size": 151936,
            "max_position_embeddings": 262144,
            "rope_theta": 5000000,
            "rope_scaling": {
                "mrope_interleaved": True,
                "mrope_section": [24, 20, 20],
                "rope_type": "default",
            },
        },
        "vision_config": {
            **known["vision"],
            "num_heads": 16,
            "out_hidden_size": known["text"]["hidden_size"],
            "num_position_embeddings": 2304,
            "deepstack_visual_indexes": known["deepstack"],
        },
        "image_token_id": 151655,
        "video_token_id": 151656,
        "vision_start_token_id": 151652,
        "vision_end_token_id": 151653,
        "tie_word_embeddings": known["tied"],
    }
    read = msgspec.convert(raw, vision_checkpoint.VisionFields)
    config = vision_checkpoint.vision_config(read, Path("config.json"))
    shapes = vision_checkpoint.tensor_shapes(config)
    assert sum(int(np.prod(shape)) for shape in shapes.values()) == known["parameters"]
    assert config.vision.side == 48


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"architectures": ["Qwen3VLForSequenceClassification"]}, "head answers yes or no"),
        ({"architectures": []}, r"architecture \(none\)"),
        ({"model_type": "qwen3"}, "with model_type 'qwen3' is not supported"),
        ({"text_config.hidden_act": "gelu"}, "text hidden_act 'gelu'"),
        ({"text_config.rope_parameters.rope_type": "yarn"}, "rope type 'yarn'"),
        ({"text_config.rope_parameters.mrope_interleaved": False}, "mrope_interleaved false"),
        ({"text_config.rope_parameters.mrope_section": [5, 6, 6]}, r"mrope_section \[5, 6, 6\]"),
        ({"text_config.num_key_value_heads": 3}, "num_key_value_heads 3 does not divide"),
        ({"vision_config.hidden_act": "silu"}, "vision hidden_act 'silu'"),
        ({"vision_config.num_heads": 3}, "vision heads of 32 / 3"),
        ({"vision_config.num_position_embeddings": 145}, "145, which is no square"),
        ({"vision_config.patch_size": 14}, "patches of 14 by 2"),
        ({"vision_config.temporal_patch_size": 1}, "temporal_patch_size 1"),
        ({"vision_config.in_channels": 4}, "in_channels 4"),
        ({"vision_config.out_hidden_size": 64}, "out_hidden_size 64 beside hidden_size 48"),
        ({"vision_config.deepstack_visual_indexes": [0, 9]}, r"\[0, 9\] of 5 blocks"),
        ({"vision_config.deepstack_visual_indexes": [0, 2]}, "unused 6 .visual.deepstack"),
        ({"vision_config.depth": 6}, r"missing 12 \(visual.blocks.5.norm1.weight"),
        ({"tie_word_embeddings": False}, r"missing 1 \(lm_head.weight\)"),
        ({"text_config.num_hidden_layers": 4}, "unused 11 .layers.4"),
        ({"image_token_id": 7}, r"<\|image_pad\|> is token 2002 in tokenizer.json, but 7"),
        ({"vision_end_token_id": 2000}, r"<\|vision_end\|> is token 2001"),
        ({"text_config.vocab_size": 1000}, "belongs to another model"),
        ({"vision_config.depth": 0}, "cannot be used"),
    ],
)
def test_what_would_be_computed_wrongly_is_refused(
    change: dict[str, Any], said: str, tmp_path: Path
) -> None:
    folder = write(tmp_path, TINY)
    edit(folder / "config.json", change)
    with pytest.raises(StartError, match=said):
        load(Spec(name="tiny", folder=folder))


def test_a_text_models_tokenizer_is_refused(tmp_path: Path) -> None:
    folder = write(tmp_path / "vl", TINY)
    other = write_decoder(tmp_path / "text", TINY_QWEN3)
    (folder / "tokenizer.json").write_bytes((other / "tokenizer.json").read_bytes())
    with pytest.raises(StartError, match=r"no token <\|vision_start\|>"):
        open_vision(folder)


def test_an_answer_of_several_tokens_is_refused(tmp_path: Path) -> None:
    folder = write(tmp_path, TINY)
    path = folder / "tokenizer.json"
    fields = json.loads(path.read_text(encoding="utf-8"))
    fields["model"]["merges"] = []
    path.write_text(json.dumps(fields), encoding="utf-8")
    assert Tokenizer.from_file(str(path)).encode("yes").ids != []
    with pytest.raises(StartError, match="makes 3 tokens of 'yes'"):
        load(Spec(name="tiny", folder=folder))


def test_other_families_are_not_taken_for_it(tmp_path: Path) -> None:
    assert read_word(write(tmp_path / "vl", TINY_UNTIED)).kind == "vision"
    assert read_word(write_decoder(tmp_path / "text", TINY_QWEN3)).kind == "causal"
    assert read_word(tmp_path).kind == "classifier"


def test_a_window_that_is_not_possible_is_refused(tmp_path: Path) -> None:
    options = LoadOptions(window_tokens=300_000)
    with pytest.raises(StartError, match="a window of 300000 tokens is not possible"):
        load(Spec(name="tiny", folder=write(tmp_path, TINY), options=options))


@pytest.mark.parametrize("options", [LoadOptions(), LoadOptions(device="cuda", precision="bf16")])
def test_torch_is_chosen_by_itself_and_without_it_the_error_has_the_command(
    options: LoadOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith("rerankd.engines.torch.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch", None)
    spec = Spec(name="tiny", folder=write(tmp_path, TINY), options=options)
    with pytest.raises(StartError, match=r"pip install 'rerankd\[torch\]'"):
        load(spec)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (LoadOptions(quantization="int8"), 'quantization = "int8" is for engine = "openvino"'),
        (LoadOptions(streams=2), 'streams is for engine = "openvino"'),
    ],
)
def test_a_choice_that_would_be_ignored_is_refused(
    options: LoadOptions, says: str, tmp_path: Path
) -> None:
    spec = Spec(name="tiny", folder=write(tmp_path, TINY), options=options)
    with pytest.raises(StartError, match=says):
        load(spec)


def test_without_pillow_the_error_has_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing() -> None:
        raise ModuleNotFoundError(name="PIL")

    monkeypatch.setattr(vision_pixels, "_pillow", missing)
    with pytest.raises(StartError, match=r"Pillow, which is not installed.*rerankd\[torch\]"):
        load(Spec(name="tiny", folder=write(tmp_path, TINY)))


@pytest.mark.parametrize("name", ["Qwen/Qwen3-VL-Reranker-2B", "Qwen/Qwen3-VL-Reranker-8B"])
def test_the_catalog_serves_it(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def cached(_: str) -> Path:
        return tmp_path

    monkeypatch.setattr(hub, "cached_folder", cached)
    spec = resolve(name)
    assert (spec.options.window_tokens, spec.named_by_catalog) == (10245, True)
    entry = catalog.find(name)
    assert entry is not None
    assert entry.needs_torch
    assert "rerankd[torch]" in (catalog.how_to_get(name) or "")


def test_half_precision_is_widened_without_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine copies every tensor to its device: room for all of them at once is not needed."""

    def no_file(*args: object, **more: object) -> None:
        raise AssertionError("a temporary file was made")

    monkeypatch.setattr("tempfile.TemporaryFile", no_file)
    monkeypatch.setattr("rerankd.engines.mapped_arrays._SMALL_BYTES", 0)
    checkpoint = open_vision(write(tmp_path, TINY_UNTIED))
    assert checkpoint.weights("norm.weight").dtype == np.float32
