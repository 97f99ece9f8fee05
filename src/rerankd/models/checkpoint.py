"""A checkpoint folder (config.json, tokenizer.json, *.safetensors) as sizes, tokenizer and tensors.

Nothing in the folder is executed: no pickle is opened, and `auto_map` (remote code) is ignored.
The family is decided by config.json, never by the folder's name. Tensors: models.weights.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from rerankd.core.errors import StartError
from rerankd.engines import deberta_config as deberta
from rerankd.engines import modernbert_config as modernbert
from rerankd.engines.encoder import Architecture, EncoderConfig, tensor_shapes
from rerankd.models.deberta_fields import DebertaFields, deberta_config
from rerankd.models.encoder_fields import EncoderFields, encoder_config
from rerankd.models.flash_names import plain_names
from rerankd.models.folder_file import read_json, shown
from rerankd.models.label_names import relevant_label
from rerankd.models.modernbert_fields import ModernBertFields, modernbert_config
from rerankd.models.pair_template import derive_template
from rerankd.models.tokenizer_config import (
    TokenizerConfig,
    follow_config,
    passes_token_types,
    read_tokenizer_config,
    unclear_token_types,
)
from rerankd.models.tokenizer_file import read_any_tokenizer
from rerankd.models.weights import SafetensorsFolder

if TYPE_CHECKING:
    from rerankd.models.tokens import AnyTokenizer


@dataclass(frozen=True, slots=True)
class _Family:
    """How one `architectures` entry is read."""

    architecture: Architecture | Literal["modernbert", "deberta-v2"]
    model_type: str
    prefix: str  # of the encoder's tensors
    unread: tuple[str, ...] = ()  # canonical tensor prefixes that its head never reads
    rename: Callable[[str], tuple[str, ...]] | None = None  # of tensors (SafetensorsFolder)


# roberta.pooler is left over from pre-training; the classification head has its own dense layer.
_FAMILIES = {
    "BertForSequenceClassification": _Family("bert", "bert", "bert."),
    "XLMRobertaForSequenceClassification": _Family(
        "xlm-roberta", "xlm-roberta", "roberta.", ("pooler.",), plain_names
    ),
    "RobertaForSequenceClassification": _Family("xlm-roberta", "roberta", "roberta.", ("pooler.",)),
    "ModernBertForSequenceClassification": _Family("modernbert", "modernbert", "model."),
    "DebertaV2ForSequenceClassification": _Family("deberta-v2", "deberta-v2", "deberta."),
}


class _Kind(msgspec.Struct):
    """The fields of config.json that name the family."""

    architectures: list[str]
    model_type: str | None = None  # jina-reranker-v2 is published without


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """An opened folder; tensors are still on disk."""

    folder: Path
    config: EncoderConfig | modernbert.ModernBertConfig | deberta.DebertaConfig
    tokenizer: AnyTokenizer  # without truncation and padding
    model_max_length: int | None  # tokenizer_config.json's, when it is a real limit
    weights: SafetensorsFolder
    token_types: int = 1  # that the tokenizer tells apart
    relevant: int = 1  # of two labels, the one that speaks for a document
    notes: tuple[str, ...] = ()  # what the operator should know of the tokenizer


def open_checkpoint(folder: Path) -> Checkpoint:
    """Read and check a folder.

    Raises:
        StartError: a file is missing or damaged, the architecture is not supported, or the
            tensors are not exactly those that it needs; the message says what to do.
    """
    if not folder.is_dir():
        raise StartError(f"{folder} is not a folder; give the folder that holds config.json.")
    path = folder / "config.json"
    family = _family(read_json(path, _Kind), folder)
    if family.architecture == "modernbert":
        config = modernbert_config(read_json(path, ModernBertFields), folder)
        shapes = modernbert.tensor_shapes(config)
    elif family.architecture == "deberta-v2":
        config = deberta_config(read_json(path, DebertaFields), folder)
        shapes = deberta.tensor_shapes(config)
    else:
        config = encoder_config(read_json(path, EncoderFields), family.architecture, folder)
        shapes = tensor_shapes(config)
    said = read_tokenizer_config(folder)
    tokenizer, notes = read_any_tokenizer(folder, config.vocab)
    follow_config(tokenizer, said, family.model_type, folder)
    types = _token_types(tokenizer, config.token_types, said, family.model_type, folder)
    weights = SafetensorsFolder(folder, prefix=family.prefix, rename=family.rename)
    weights.require(shapes, unread=family.unread)
    return Checkpoint(
        folder=folder,
        config=config,
        tokenizer=tokenizer,
        model_max_length=said.window_tokens,
        weights=weights,
        token_types=types,
        relevant=relevant_label(path),
        notes=notes,
    )


def _token_types(
    tokenizer: AnyTokenizer, known: int, said: TokenizerConfig, model_type: str, folder: Path
) -> int:
    """How many token types rows are made with: the model's, or one if it is not told of them.

    Raises:
        StartError: the tokenizer makes two, and whether they are passed is not clear.
    """
    if known < 2 or derive_template(tokenizer, token_types=known).second_at is None:
        return 1
    passes = passes_token_types(said, model_type)
    if passes is None:
        raise unclear_token_types(said, model_type, folder)
    return known if passes else 1


def _family(raw: _Kind, folder: Path) -> _Family:
    name = raw.architectures[0] if raw.architectures else "(none)"
    family = _FAMILIES.get(name)
    if family is None or raw.model_type not in (family.model_type, None):
        known = ", ".join(f"{name} ({each.model_type})" for name, each in _FAMILIES.items())
        raise StartError(
            f"{folder}/config.json: architecture {shown(name)[1:-1]} with model_type "
            f"{shown(raw.model_type)} is not supported; supported are {known}. Code that a "
            "checkpoint brings is never run."
        )
    return family
