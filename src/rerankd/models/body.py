"""A folder whose model is an encoder without a head: what embeds texts, or tokens of texts.

What the folder says beside config.json (modules.json and its kin) is for the families.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from rerankd.core.errors import StartError
from rerankd.engines.any_encoder import tensor_shapes
from rerankd.engines.encoder import Architecture, EncoderConfig
from rerankd.engines.gte_config import GteConfig
from rerankd.engines.modernbert_config import ModernBertConfig
from rerankd.models.encoder_fields import EncoderFields, encoder_config
from rerankd.models.flash_names import plain_names
from rerankd.models.folder_file import read_json, shown
from rerankd.models.gte_fields import GteFields, gte_config
from rerankd.models.gte_fields import plain_names as plain_gte_names
from rerankd.models.modernbert_fields import ModernBertFields, modernbert_config
from rerankd.models.tokenizer_config import follow_config, read_tokenizer_config
from rerankd.models.tokenizer_file import read_any_tokenizer
from rerankd.models.weights import SafetensorsFolder

if TYPE_CHECKING:
    from rerankd.models.tokens import AnyTokenizer


@dataclass(frozen=True, slots=True)
class _Family:
    """How one `architectures` entry is read; without it, the first of its model_type."""

    architecture: Architecture | Literal["modernbert", "gte"]
    model_types: tuple[str, ...]  # that config.json may say; the first decides the tokenizer
    prefix: str  # of the body's tensors, where there is one
    unread: tuple[str, ...]  # canonical tensor prefixes of heads, which are not used
    rename: Callable[[str], tuple[str, ...]] | None = None


_BERT: Final = _Family("bert", ("bert",), "bert.", ("pooler.", "cls."))
_ROBERTA: Final = _Family("xlm-roberta", ("roberta",), "roberta.", ("pooler.", "lm_head."))
_XLMR: Final = _Family(
    "xlm-roberta", ("xlm-roberta",), "roberta.", ("pooler.", "lm_head."), plain_names
)
_MODERNBERT: Final = _Family("modernbert", ("modernbert",), "model.", ("head.", "decoder."))
_GTE: Final = _Family("gte", ("gte", "new"), "new.", ("pooler.", "lm_head."), plain_gte_names)
_STANFORD: Final = _Family("bert", ("bert",), "bert.", ("pooler.", "cls.", "linear."))
_FAMILIES: Final = {
    "BertModel": _BERT,
    "BertForMaskedLM": _BERT,
    "RobertaModel": _ROBERTA,
    "RobertaForMaskedLM": _ROBERTA,
    "XLMRobertaModel": _XLMR,
    "XLMRobertaForMaskedLM": _XLMR,
    "GteModel": _GTE,
    "NewModel": _GTE,
    "ModernBertModel": _MODERNBERT,
    "ModernBertForMaskedLM": _MODERNBERT,
}
STANFORD: Final = "HF_ColBERT"  # BERT, and a linear layer beside it that its family reads


class _Kind(msgspec.Struct):
    """The fields of config.json that name the family."""

    model_type: str
    architectures: list[str] | None = None
    auto_map: dict[str, object] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderBody:
    """An opened folder; tensors are still on disk."""

    folder: Path
    config: EncoderConfig | ModernBertConfig | GteConfig  # labels = 0
    tokenizer: AnyTokenizer  # without truncation and padding
    model_max_length: int | None  # tokenizer_config.json's, when it is a real limit
    weights: SafetensorsFolder
    notes: tuple[str, ...] = ()  # what the operator should know of the tokenizer


def open_body(folder: Path) -> EncoderBody:
    """Read and check a folder: config.json, tokenizer.json, safetensors.

    Raises:
        StartError: a file is missing or damaged, the architecture is not supported, or the
            tensors are not exactly those that it needs; the message says what to do.
    """
    if not folder.is_dir():
        raise StartError(f"{folder} is not a folder; give the folder that holds config.json.")
    path = folder / "config.json"
    family = _family(read_json(path, _Kind), folder)
    if family.architecture == "modernbert":
        config = modernbert_config(read_json(path, ModernBertFields), folder, is_headless=True)
    elif family.architecture == "gte":
        config = gte_config(read_json(path, GteFields), folder, is_headless=True)
    else:
        fields = read_json(path, EncoderFields)
        config = encoder_config(fields, family.architecture, folder, is_headless=True)
    said = read_tokenizer_config(folder)
    tokenizer, notes = read_any_tokenizer(folder, config.vocab)
    follow_config(tokenizer, said, family.model_types[0], folder)
    weights = SafetensorsFolder(folder, prefix=family.prefix, rename=family.rename)
    weights.require(tensor_shapes(config), unread=family.unread)
    return EncoderBody(
        folder=folder,
        config=config,
        tokenizer=tokenizer,
        model_max_length=said.window_tokens,
        weights=weights,
        notes=notes,
    )


def _family(raw: _Kind, folder: Path) -> _Family:
    name = raw.architectures[0] if raw.architectures else None
    by_type = {kind: each for each in _FAMILIES.values() for kind in each.model_types}
    if name is None:
        family = by_type.get(raw.model_type)
    elif name == STANFORD:
        family = _STANFORD
    else:
        family = _FAMILIES.get(name)
    if family is None or raw.model_type not in family.model_types:
        own = " Its own code (auto_map) is never run." if raw.auto_map else ""
        raise StartError(
            f"{folder}/config.json: architecture {shown(name or '(none)')[1:-1]} with model_type "
            f"{shown(raw.model_type)} is not supported as an encoder; supported are "
            f"{', '.join(f'{each} ({of.model_types[0]})' for each, of in _FAMILIES.items())}.{own}"
        )
    return family
