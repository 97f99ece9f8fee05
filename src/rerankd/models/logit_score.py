"""What sentence-transformers keeps beside a decoder: the tokens that score, and how it reads texts.

Files: modules.json names 1_LogitScore, whose config.json has the ids; sentence_bert_config.json has
how texts become rows; config_sentence_transformers.json has prompts.
Source: sentence-transformers 6.2.0, cross_encoder/modules/logit_score.py and
base/modules/transformer.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from rerankd.models.folder_file import read_json, shown
from rerankd.models.sizes import Size, TokenId
from rerankd.models.unsupported import refuse_unsupported

READER: Final = "sentence_bert_config.json"
_FORMATS: Final = ("flat", "auto")


class _Head(msgspec.Struct, forbid_unknown_fields=True):
    """1_LogitScore/config.json."""

    true_token_id: TokenId
    false_token_id: TokenId | None = None
    module_input_name: str = "causal_logits"


class _Modality(msgspec.Struct):
    method: str = "forward"
    format: str = "auto"


class _Processing(msgspec.Struct):
    chat_template: dict[str, object] = {}
    text: dict[str, object] = {}
    common: dict[str, object] = {}


class _Reader(msgspec.Struct):
    """sentence_bert_config.json, as far as it changes rows."""

    max_seq_length: Size | None = None
    do_lower_case: bool = False
    transformer_task: str | None = None
    modality_config: dict[str, _Modality] | None = None
    processing_kwargs: _Processing | None = None


@dataclass(frozen=True, slots=True)
class Answers:
    """Token ids whose logits are the score: `yes`, less `no` if there is one."""

    yes: int
    no: int | None


@dataclass(frozen=True, slots=True)
class Reading:
    """How sentence-transformers makes rows of a folder's pairs."""

    window_tokens: int | None = None
    adds_generation_prompt: bool = False
    takes_template: bool = True  # False = texts go in as they are, whatever template is there


def read_answers(module: Path, vocab: int) -> Answers:
    """A LogitScore module's ids.

    Args:
        module: its folder.
        vocab: of the model.

    Raises:
        StartError: the file is not there, or says what is not read here.
    """
    path = module / "config.json"
    head = read_json(path, _Head)
    wrong = {
        f"module_input_name {shown(head.module_input_name)} (only 'causal_logits')": (
            head.module_input_name != "causal_logits"
        ),
        f"true_token_id {head.true_token_id} of {vocab}": head.true_token_id >= vocab,
        f"false_token_id {head.false_token_id} of {vocab}": (head.false_token_id or 0) >= vocab,
        f"true_token_id and false_token_id both {head.true_token_id}": (
            head.true_token_id == head.false_token_id
        ),
    }
    refuse_unsupported(path, wrong)
    return Answers(head.true_token_id, head.false_token_id)


def read_reading(folder: Path) -> Reading:
    """sentence_bert_config.json, or what sentence-transformers does without.

    Raises:
        StartError: it says what is not read here.
    """
    path = folder / READER
    if not path.exists():
        return Reading()
    reader = read_json(path, _Reader)
    kwargs = reader.processing_kwargs or _Processing()
    template = dict(kwargs.chat_template)
    adds = template.pop("add_generation_prompt", False)
    modalities = reader.modality_config
    message = None if modalities is None else modalities.get("message")
    wrong = {
        "do_lower_case true": reader.do_lower_case,
        f"modality_config.message.format {shown(message.format) if message else ''}": (
            message is not None and message.format not in _FORMATS
        ),
        f"processing_kwargs.chat_template {shown(template)}": bool(template),
        f"add_generation_prompt {shown(adds)}": not isinstance(adds, bool),
        f"processing_kwargs {shown([kwargs.text, kwargs.common])}": bool(
            kwargs.text or kwargs.common
        ),
    }
    refuse_unsupported(path, wrong)
    return Reading(
        window_tokens=reader.max_seq_length,
        adds_generation_prompt=adds is True,
        takes_template=modalities is None or message is not None,
    )
