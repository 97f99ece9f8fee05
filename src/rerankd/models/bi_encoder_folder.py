"""Folders of embedding models: what stands behind the body, which prompts they have.

modules.json lists Transformer, Pooling, then Dense, LayerNorm and Normalize; the prompts are in
config_sentence_transformers.json. Source: sentence-transformers 6.2, base/model.py,
sentence_transformer/model.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from rerankd.core.errors import StartError
from rerankd.engines.dense import BehindLayer, PoolingMode
from rerankd.models.dense_module import VECTOR, read_dense, read_layer_norm
from rerankd.models.folder_file import read_json, shown
from rerankd.models.folder_word import CONFIG, MODULES, SETTINGS, TRANSFORMER, FolderWord
from rerankd.models.module_head import POOLING, inside
from rerankd.models.pooling_module import read_pooling
from rerankd.models.unsupported import refuse_unsupported

_DENSE, _NORM, _DROPOUT, _UNIT = "Dense", "LayerNorm", "Dropout", "Normalize"
_KNOWN: Final = (_DENSE, _NORM, _DROPOUT, _UNIT)
_OWN_TYPES: Final = (None, "SentenceTransformer")


@dataclass(frozen=True, slots=True, kw_only=True)
class Behind:
    """What makes a text's vector of its tokens' states."""

    pooling: tuple[PoolingMode, ...]
    layers: tuple[BehindLayer, ...]
    is_unit: bool  # it has length 1 in the end


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompts:
    """What may stand before a text."""

    texts: Mapping[str, str]  # by name
    default: str | None  # name of what stands there when nobody names one; None = nothing


class _Normal(msgspec.Struct):
    """config.json of a Normalize module."""

    module_input_name: str | None = None
    module_output_name: str | None = None


def check_modules(word: FolderWord) -> None:
    """The names and the order of the modules, before anything else is read.

    Raises:
        StartError: it is another kind of model, or a module is not known.
    """
    path, modules = word.folder / MODULES, word.modules
    kinds = [module.kind for module in modules]
    names = shown(", ".join(kinds))[1:-1]
    if word.settings.model_type not in _OWN_TYPES:
        raise StartError(
            f"{word.folder / SETTINGS}: model_type {shown(word.settings.model_type)} is neither an "
            "embedding model (SentenceTransformer) nor a reranker (CrossEncoder). Use one of them."
        )
    if kinds[:2] != [TRANSFORMER, POOLING] or modules[0].path:
        raise StartError(
            f"{path}: the modules {names}; an embedding model has {TRANSFORMER} in the root of the "
            f"folder and {POOLING} behind it."
        )
    unknown = [kind for kind in kinds[2:] if kind not in _KNOWN]
    if unknown or _UNIT in kinds[:-1]:
        raise StartError(
            f"{path}: the modules {names}; behind {POOLING} rerankd knows {_DENSE}, {_NORM} and "
            f"{_DROPOUT}, and {_UNIT} at the end."
        )


def read_behind(word: FolderWord, hidden: int) -> Behind:
    """The modules behind the body, which were checked.

    Args:
        word: of the folder.
        hidden: values of a token's state.

    Raises:
        StartError: a module's files are missing or damaged, or do not fit the one before.
    """
    modules = word.modules
    pooling = read_pooling(inside(word.folder, modules[1]), hidden)
    width, layers = hidden * len(pooling), list[BehindLayer]()
    for module in modules[2:]:
        place = inside(word.folder, module)
        if module.kind == _UNIT:
            _check_normal(place / CONFIG)
        elif module.kind != _DROPOUT:
            layers.append(
                read_layer_norm(place, width)
                if module.kind == _NORM
                else read_dense(place, width, reads=VECTOR)
            )
            width = layers[-1].outputs
    return Behind(pooling=pooling, layers=tuple(layers), is_unit=modules[-1].kind == _UNIT)


def read_prompts(word: FolderWord) -> Prompts:
    """The prompts. Raises StartError: the default is none of them."""
    texts = {name: text or "" for name, text in (word.settings.prompts or {}).items()}
    default = word.settings.default_prompt_name
    if default is not None and default not in texts:
        raise StartError(
            f"{word.folder / SETTINGS}: default_prompt_name {shown(default)} is none of prompts."
        )
    return Prompts(texts=texts, default=default)


def _check_normal(path: Path) -> None:
    """A Normalize of what is no text's vector is none that is computed here."""
    if not path.exists():
        return
    fields = read_json(path, _Normal)
    names = (fields.module_input_name, fields.module_output_name)
    refuse_unsupported(
        path,
        {
            f"module_input_name or module_output_name {shown(name)} (only {VECTOR})": (
                name not in (None, VECTOR)
            )
            for name in names
        },
    )
