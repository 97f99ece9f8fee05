"""How each `architectures` entry of a cross-encoder is read: its fields, and its tensors' names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from rerankd.core.errors import StartError
from rerankd.engines.any_encoder import AnyEncoder
from rerankd.engines.encoder import Architecture, EncoderConfig
from rerankd.models.bert_kin_fields import (
    DistilBertFields,
    ElectraFields,
    bert_names,
    distilbert_config,
    electra_config,
)
from rerankd.models.deberta_fields import DebertaFields, deberta_config
from rerankd.models.encoder_fields import EncoderFields, encoder_config
from rerankd.models.flash_names import plain_names
from rerankd.models.folder_file import read_json, shown
from rerankd.models.gte_fields import GteFields, gte_config
from rerankd.models.gte_fields import plain_names as plain_gte_names
from rerankd.models.jina_bert_fields import JinaBertFields, jina_bert_config
from rerankd.models.modernbert_fields import ModernBertFields, modernbert_config

Rename = Callable[[str], tuple[str, ...]]  # of tensors (weights.SafetensorsFolder)


@dataclass(frozen=True, slots=True)
class EncoderFamily:
    """How one entry is read."""

    model_types: tuple[str, ...]  # that config.json may say; the first decides the tokenizer
    prefix: str  # of the encoder's tensors
    sizes: Callable[[Path], AnyEncoder]  # of a folder
    unread: tuple[str, ...] = ()  # canonical tensor prefixes that its head never reads
    rename: Rename | None = None

    @property
    def model_type(self) -> str:
        """What transformers calls it."""
        return self.model_types[0]


class _Kind(msgspec.Struct):
    """The fields of config.json that name the family."""

    architectures: list[str]
    model_type: str | None = None  # jina-reranker-v2 is published without


def _encoder(architecture: Architecture) -> Callable[[Path], EncoderConfig]:
    def sizes(folder: Path) -> EncoderConfig:
        return encoder_config(
            read_json(folder / "config.json", EncoderFields), architecture, folder
        )

    return sizes


def _modernbert(folder: Path) -> AnyEncoder:
    return modernbert_config(read_json(folder / "config.json", ModernBertFields), folder)


def _deberta(folder: Path) -> AnyEncoder:
    return deberta_config(read_json(folder / "config.json", DebertaFields), folder)


def _gte(folder: Path) -> AnyEncoder:
    return gte_config(read_json(folder / "config.json", GteFields), folder)


def _jina_bert(folder: Path) -> AnyEncoder:
    return jina_bert_config(read_json(folder / "config.json", JinaBertFields), folder)


def _electra(folder: Path) -> AnyEncoder:
    return electra_config(read_json(folder / "config.json", ElectraFields), folder)


def _distilbert(folder: Path) -> AnyEncoder:
    return distilbert_config(read_json(folder / "config.json", DistilBertFields), folder)


_GTE: Final = EncoderFamily(("gte", "new"), "new.", _gte, rename=plain_gte_names)
# roberta.pooler is left over from pre-training; the classification head has its own dense layer.
FAMILIES: Final = {
    "BertForSequenceClassification": EncoderFamily(("bert",), "bert.", _encoder("bert")),
    "XLMRobertaForSequenceClassification": EncoderFamily(
        ("xlm-roberta",), "roberta.", _encoder("xlm-roberta"), ("pooler.",), plain_names
    ),
    "RobertaForSequenceClassification": EncoderFamily(
        ("roberta",), "roberta.", _encoder("xlm-roberta"), ("pooler.",)
    ),
    "CamembertForSequenceClassification": EncoderFamily(
        ("camembert",), "roberta.", _encoder("xlm-roberta"), ("pooler.",)
    ),
    "ElectraForSequenceClassification": EncoderFamily(("electra",), "electra.", _electra),
    "DistilBertForSequenceClassification": EncoderFamily(
        ("distilbert",), "distilbert.", _distilbert, rename=bert_names
    ),
    "ModernBertForSequenceClassification": EncoderFamily(("modernbert",), "model.", _modernbert),
    "DebertaV2ForSequenceClassification": EncoderFamily(("deberta-v2",), "deberta.", _deberta),
    "NewForSequenceClassification": _GTE,
    "GteForSequenceClassification": _GTE,
    "JinaBertForSequenceClassification": EncoderFamily(("bert",), "bert.", _jina_bert),
}


def family_of(folder: Path) -> EncoderFamily:
    """The family that config.json names.

    Raises:
        StartError: it names none that is served, or two.
    """
    raw = read_json(folder / "config.json", _Kind)
    name = raw.architectures[0] if raw.architectures else "(none)"
    family = FAMILIES.get(name)
    if family is None or raw.model_type not in (*family.model_types, None):
        known = ", ".join(
            f"{name} ({' or '.join(each.model_types)})" for name, each in FAMILIES.items()
        )
        raise StartError(
            f"{folder}/config.json: architecture {shown(name)[1:-1]} with model_type "
            f"{shown(raw.model_type)} is not supported; supported are {known}. Code that a "
            "checkpoint brings is never run."
        )
    return family
