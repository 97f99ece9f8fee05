"""Folders that hold a model in another form than the one that is read: named, with one way back.

Looked at before anything else of a folder: file names, the first bytes of its files, config.json
and adapter_config.json where they say that the weights are not the model's own numbers. Nothing is
converted here. What a form is called by those who make it stands in the message.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Final

import msgspec

from rerankd.core.errors import StartError
from rerankd.models.cause import unreadable
from rerankd.models.conversion import (
    how_to_convert,
    how_to_convert_state,
    how_to_download,
    how_to_index,
    how_to_link,
    how_to_merge,
    how_to_serve,
)
from rerankd.models.folder_file import INDEX, SINGLE, read_json, shown
from rerankd.models.weights import shapes_in

MODULES: Final = "modules.json"
ADAPTER: Final = "adapter_config.json"
MAX_FILES: Final = 65_536  # of a folder; as of its tensors
_HEAD_BYTES: Final = 64
_POINTER: Final = b"version https://git-lfs.github.com/spec/"
_PAGE: Final = re.compile(rb"\s*<(?:!doctype html|html)\b", re.IGNORECASE)
_READ: Final = (".json", ".safetensors", ".jinja", ".metadata", ".model")  # and what replaces them
_PICKLES: Final = (".bin", ".pt", ".pth", ".ckpt")
_SENTENCE_CLASSES: Final = {
    "CrossEncoder": "CrossEncoder",
    "ColBERT": "MultiVectorEncoder",
    "MultiVectorEncoder": "MultiVectorEncoder",
    "SparseEncoder": "SparseEncoder",
}
_OF_TRAINING: Final = ("training_args.bin", "optimizer.bin", "optimizer.pt", "scheduler.pt")
# By the end of a file's name: what such weights are called. The first that is found counts.
_OTHER_RUNTIMES: Final = {
    ".gguf": "GGUF, llama.cpp's form",
    ".onnx": "an ONNX export",
    "openvino_model.xml": "an OpenVINO IR export",
    "tf_model.h5": "TensorFlow weights",
    ".msgpack": "Flax weights",
    "rust_model.ot": "Rust weights",
    "consolidated.safetensors": "Mistral's own form",
    "weights.npz": "MLX weights",
}
_HEAD: Final = re.compile(r"\b(?:classifier|score)\b(?!.*lora_A).*weight$")  # of an adapter's names
_SHARD: Final = re.compile(r"(.+)-(\d{5})-of-(\d{5})\.safetensors")
_REPOSITORY: Final = re.compile(
    r"^base_model:[ \t]*(?:\n[ \t]*-[ \t]*)?[\"']?([\w.-]+/[\w.-]+)[\"']?[ \t]*$", re.MULTILINE
)
_README_BYTES: Final = 65_536


class _Kind(msgspec.Struct):
    """config_sentence_transformers.json, as far as it says which class reads the folder."""

    model_type: str | None = None


class _Quantised(msgspec.Struct):
    """config.json, as far as it says that the weights are not the model's own numbers."""

    quantization_config: dict[str, object] | None = None
    compression_config: dict[str, object] | None = None  # compressed-tensors, before 0.7
    quantization: dict[str, object] | None = None  # MLX


class _Adapter(msgspec.Struct):
    """adapter_config.json, as PEFT writes it."""

    base_model_name_or_path: str | None = None
    peft_type: str | None = None
    task_type: str | None = None


def refuse_foreign(folder: Path) -> None:
    """Refuse a folder whose weights are in a form that is not read.

    Raises:
        StartError: they are; one sentence says what the form is called, and one command mends it.
    """
    names = _names(folder)
    _refuse_stand_ins(folder, names)
    if ADAPTER in names:
        raise _adapter(folder)
    _refuse_quantised(folder, names)
    if MODULES in names:
        _refuse_pickled_modules(folder, names)
    elif "config.json" not in names:
        _refuse_outer_folder(folder, names)
    if SINGLE not in names and INDEX not in names:
        _refuse_other_weights(folder, names)


def a_file(path: Path) -> StartError:
    """The refusal of a file where a model's folder is expected."""
    if path.suffix.lower() == ".gguf":
        return StartError(
            f"{path} is a file in {_OTHER_RUNTIMES['.gguf']}; rerankd reads folders with {SINGLE}. "
            f"{how_to_download(origin(path.parent))}"
        )
    return StartError(
        f"{path} is a file; a model is the folder with its config.json, tokenizer and weights. "
        f"{how_to_serve(path.parent)}"
    )


def origin(folder: Path) -> str | None:
    """The repository that a folder's README.md names as the one that it was made from."""
    path = folder / "README.md"
    if not path.is_file():
        return None
    try:
        with path.open("rb") as stream:
            text = stream.read(_README_BYTES).decode(errors="replace").replace("\r\n", "\n")
    except OSError as error:
        raise unreadable(path, error) from error
    head = text.removeprefix("---\n").partition("\n---")[0] if text.startswith("---\n") else ""
    found = _REPOSITORY.search(head)
    return found[1] if found else None


def _names(folder: Path) -> list[str]:
    """Its files, and those of its own folders as "onnx/model.onnx", in order.

    Raises:
        StartError: it cannot be listed, or holds more than any model.
    """
    names: list[str] = []
    try:
        for path in _entries(folder):
            if path.is_dir():
                names += [f"{path.name}/{each.name}" for each in _entries(path)]
            else:
                names.append(path.name)
            if len(names) > MAX_FILES:
                raise StartError(
                    f"{folder} holds more than {MAX_FILES} files: no model has so many. Give the "
                    "folder of the model alone."
                )
    except OSError as error:
        raise unreadable(Path(error.filename or folder), error) from error
    return sorted(names)


def _entries(folder: Path | os.DirEntry[str]) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as found:
        return list(islice(found, MAX_FILES + 1))


def _refuse_stand_ins(folder: Path, names: Sequence[str]) -> None:
    """What stands where a file should be: a pointer to it, or the page about it."""
    for name in names:
        if "/" in name or not name.endswith((*_READ, *_PICKLES, *_OTHER_RUNTIMES)):
            continue
        head = _head(folder / name)
        if head.startswith(_POINTER):
            raise StartError(
                f"{folder / name} is a Git LFS pointer: it says which file belongs there, and "
                "that was not fetched (the repository was cloned without git-lfs). Fetch all: "
                f"git -C {folder} lfs pull"
            )
        if _PAGE.match(head):
            raise StartError(
                f"{folder / name} is an HTML page, not the file: the page about it was saved. "
                f"{how_to_download(origin(folder))}"
            )


def _head(path: Path) -> bytes:
    if not path.is_file():
        return b""  # its reader says what it is
    try:
        with path.open("rb") as stream:
            return stream.read(_HEAD_BYTES)
    except OSError as error:
        raise unreadable(path, error) from error


def _adapter(folder: Path) -> StartError:
    """Weights beside it do not help: transformers loads the model that the adapter was made for."""
    path, weights = folder / ADAPTER, folder / "adapter_model.safetensors"
    said = read_json(path, _Adapter)
    shapes = shapes_in(weights) if weights.is_file() else {}
    labels = [shape[0] for name, shape in shapes.items() if _HEAD.search(name) and shape]
    kind = said.peft_type or "LORA"
    return StartError(
        f"{path}: the folder is an adapter ({shown(kind)[1:-1]}, by PEFT), a change of the model "
        f"{shown(said.base_model_name_or_path)}, which transformers would load first. "
        f"{how_to_merge(folder, kind, said.task_type, labels[0] if labels else None)}"
    )


def _refuse_quantised(folder: Path, names: Sequence[str]) -> None:
    if "config.json" not in names:
        return
    path = folder / "config.json"
    config = read_json(path, _Quantised)
    said = {
        "quantization_config": config.quantization_config,
        "compression_config": config.compression_config,
        "quantization": config.quantization,
    }
    for key, how in said.items():
        if how:
            method = how.get("quant_method") or how.get("bits")
            raise StartError(
                f"{path}: {key} says that the weights are quantised ({shown(method)}); only F32, "
                "F16 and BF16 weights are read, and rerankd quantises them itself where "
                f'quantization = "int8" asks for it. {how_to_download(origin(folder))}'
            )


def _refuse_pickled_modules(folder: Path, names: Sequence[str]) -> None:
    """modules.json: each module has its own weights, and one of them may be a pickle."""
    for name in names:
        module, _, file = name.rpartition("/")
        if file == "pytorch_model.bin" and f"{module}/{SINGLE}".removeprefix("/") not in names:
            raise _pickle(folder, name)


def _refuse_other_weights(folder: Path, names: Sequence[str]) -> None:
    _refuse_other_names(folder, names)
    pickles = [n for n in names if "/" not in n and n.endswith(_PICKLES) and n not in _OF_TRAINING]
    if pickles:
        raise _pickle(folder, pickles[0])
    _refuse_other_runtimes(folder, names)


def _pickle(folder: Path, name: str) -> StartError:
    kind = None
    way = how_to_convert_state(folder, name)
    if (folder / MODULES).is_file():
        path = folder / "config_sentence_transformers.json"
        said = read_json(path, _Kind).model_type if path.is_file() else None
        kind = _SENTENCE_CLASSES.get(said or "", "SentenceTransformer")
    if name.endswith(".bin"):
        way = how_to_convert(folder, kind)
    return StartError(
        f"{folder} holds {shown(name)[1:-1]}, but no {SINGLE} beside it. That is a Python pickle, "
        "which can run code, so rerankd never opens one. Use a revision that has safetensors, or, "
        f"if you trust the file, convert it. {way}"
    )


def _refuse_other_names(folder: Path, names: Sequence[str]) -> None:
    """The right weights under a name that nobody looks for."""
    mine = [n for n in names if n.endswith(".safetensors") and "/" not in n]
    mine = [n for n in mine if not n.startswith(("adapter_", "consolidated", "optimizer"))]
    index = next((n for n in names if n.startswith("model.safetensors.index.")), None)
    if index is not None:
        raise StartError(
            f"{folder} holds {shown(index)[1:-1]}, the index of another variant of the weights, "
            f"but no {INDEX}. {how_to_link(folder, index, INDEX)}"
        )
    shards = [match for match in map(_SHARD.fullmatch, mine) if match is not None]
    if shards:
        there, count = len(shards), int(shards[0][3])
        if there != count:
            raise StartError(
                f"{folder} holds {there} of the {count} files of its weights "
                f"({shown(shards[0][0])[1:-1]}, …). {how_to_download(origin(folder))}"
            )
        raise StartError(
            f"{folder} holds its weights in {count} files, but no {INDEX}, which says what is in "
            f"which. {how_to_index(folder)}"
        )
    if len(mine) == 1:
        raise StartError(
            f"{folder} holds {shown(mine[0])[1:-1]}, a variant's or another's name for weights, "
            f"but no {SINGLE}. {how_to_link(folder, mine[0], SINGLE)}"
        )
    if mine:
        raise StartError(
            f"{folder} holds {', '.join(shown(n)[1:-1] for n in mine[:3])}, variants or parts of "
            f"weights, but no {SINGLE}. {how_to_link(folder, mine[0], SINGLE)}"
        )


def _refuse_other_runtimes(folder: Path, names: Sequence[str]) -> None:
    for ending, what in _OTHER_RUNTIMES.items():
        found = next((name for name in names if name.endswith(ending)), None)
        if found is not None:
            raise StartError(
                f"{folder} holds {shown(found)[1:-1]}: {what}, and no {SINGLE}, which is what "
                f"rerankd reads. {how_to_download(origin(folder))}"
            )


def _refuse_outer_folder(folder: Path, names: Sequence[str]) -> None:
    """The folder around the model's: of a hub's cache, or of a training run."""
    snapshots = sorted((folder / "snapshots").glob("*/config.json"))
    inner = [name.partition("/")[0] for name in names if name.endswith("/config.json")]
    if snapshots:
        raise StartError(
            f"{folder} is a repository in a hub's cache; the model is in one of its snapshots. "
            f"{how_to_serve(snapshots[0].parent)}"
        )
    if inner:
        raise StartError(
            f"{folder} has no config.json, but {', '.join(map(shown, inner[:3]))} in it has one. "
            f"{how_to_serve(folder / max(inner, key=_number))}"
        )


def _number(name: str) -> tuple[int, str]:
    """checkpoint-1000 comes after checkpoint-500."""
    digits = re.search(r"(\d{1,9})$", name)
    return (int(digits[1]) if digits else -1, name)
