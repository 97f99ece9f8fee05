"""What all makers of made-up checkpoints share: weights from a name, and the files of a folder.

The weights come from the raw bits of PCG64, whose stream numpy promises never to change, so the
committed golden logits hold wherever the tests run. They are scaled so that logits differ well
between pairs and attention is far from uniform; nothing here ranks anything sensibly.

A module beside this one is a family. Each has `Shape`, the shapes that are used, `tensors(shape)`,
`config(shape)` and `write(folder, shape)`.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save_file  # pyright: ignore[reportUnknownVariableType] - PathLike
from tokenizers import Tokenizer, processors

HERE = Path(__file__).parent
VOCAB = 4000  # of the small tokenizers but Qwen's
Tensors = dict[str, npt.NDArray[np.float32]]


def uniform(name: str, shape: tuple[int, ...], std: float) -> npt.NDArray[np.float32]:
    """Seeded by the tensor's name, mean 0."""
    count = math.prod(shape)
    raw = np.random.PCG64(zlib.crc32(name.encode())).random_raw((count + 1) // 2)
    bits = raw.astype("<u8").view("<u4")[:count]
    unit = (bits >> 8).astype(np.float32) * np.float32(2.0**-23) - np.float32(1.0)  # [-1, 1)
    return (unit * np.float32(std * math.sqrt(3.0))).reshape(shape)


def tokenizer_file(name: str) -> Path:
    """A small tokenizer.json: "bert", "xlm-roberta", "modernbert" or "qwen"."""
    return HERE / f"tokenizer-{name}.json"


def tokenizer_config(
    tokens: Mapping[str, str], *, window: int, types: bool = False, **more: object
) -> dict[str, object]:
    """tokenizer_config.json: the special tokens by role, the model's window, its inputs."""
    inputs = ["input_ids", "attention_mask", *(["token_type_ids"] if types else [])]
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": window,
        "model_input_names": inputs,
        **{f"{role}_token": token for role, token in tokens.items()},
        **more,
    }


def write_folder(
    folder: Path,
    *,
    config: Mapping[str, object],
    tokenizer_config: Mapping[str, object],
    tokenizer: str,
    tensors: Tensors,
    shards: int = 1,
) -> Path:
    """Write the files of a checkpoint; more than one shard also means half precision."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in (("config.json", config), ("tokenizer_config.json", tokenizer_config)):
        (folder / name).write_text(json.dumps(data, indent=1), encoding="utf-8")
    (folder / "tokenizer.json").write_text(tokenizer, encoding="utf-8")
    form = {"format": "pt"}  # as every published file says; some peers ask for it
    if shards == 1:
        save_file(tensors, folder / "model.safetensors", metadata=form)
        return folder
    weight_map: dict[str, str] = {}
    for shard in range(shards):
        file = f"model-{shard + 1:05}-of-{shards:05}.safetensors"
        part: Any = {n: tensors[n].astype(np.float16) for n in list(tensors)[shard::shards]}
        save_file(part, folder / file, metadata=form)
        weight_map |= dict.fromkeys(part, file)
    index = {"metadata": {}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    return folder


def relabelled(path: Path, specials: list[str], pair: str) -> str:
    """A tokenizer.json whose first tokens, the special ones, have other names and another place.

    Args:
        path: the tokenizer that lends its vocabulary.
        specials: new names of ids 0, 1, ...
        pair: the template of a pair, as TemplateProcessing writes it.
    """
    raw: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    for token in raw["added_tokens"]:
        token["content"] = specials[token["id"]]
    vocab: Any = raw["model"]["vocab"]
    if isinstance(vocab, dict):
        by_id = {i: name for name, i in cast("dict[str, int]", vocab).items()}
        names = {**by_id, **dict(enumerate(specials))}
        raw["model"]["vocab"] = {name: i for i, name in sorted(names.items())}
    else:
        for entry, name in zip(cast("list[list[Any]]", vocab), specials, strict=False):
            entry[0] = name
    tokenizer = Tokenizer.from_str(json.dumps(raw | {"post_processor": None}))
    used = [(name, i) for i, name in enumerate(specials) if name in pair]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=pair.partition(" $B")[0], pair=pair, special_tokens=used
    )
    return tokenizer.to_str()
