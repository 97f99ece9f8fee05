"""A `Transformer` module of sentence-transformers: sentence_bert_config.json beside config.json.

It is read for the folders that modules.json describes, and only there. What changes a score is
followed (a window, lower case) or refused by its key; a key that sentence-transformers does not
know ends its own start, and ours.
Source: sentence-transformers 6.2, base/modules/transformer.py; before 5.4 the file held the longest
text and whether it was made lower case.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from rerankd.core.errors import StartError
from rerankd.models.folder_file import read_json, shown
from rerankd.models.folder_word import FolderWord
from rerankd.models.sizes import Size
from rerankd.models.unsupported import refuse_unsupported

# The first that is there; the others are of sentence-transformers before 0.4.
NAMES: Final = (
    "sentence_bert_config.json",
    "sentence_roberta_config.json",
    "sentence_distilbert_config.json",
    "sentence_camembert_config.json",
    "sentence_albert_config.json",
    "sentence_xlm-roberta_config.json",
    "sentence_xlnet_config.json",
)
TEMPLATE: Final = "chat_template.jinja"
TOKENIZER: Final = "tokenizer_config.json"
_STATES: Final = "last_hidden_state"
_CLASSIFIER: Final = "sequence-classification"
_WINDOW: Final = "model_max_length"
# Of model_kwargs and the like: how a library computes, and where it looks; none changes a score
# beyond the rounding of a half-precision type, where ours is float32.
_HOW: Final = frozenset(
    (
        *("attn_implementation", "dtype", "torch_dtype", "device_map", "low_cpu_mem_usage"),
        *("use_safetensors", "trust_remote_code", "revision", "token", "cache_dir", "use_fast"),
        *("local_files_only", "subfolder", "reference_compile", "unpad_inputs", _WINDOW),
    )
)


class _Modality(msgspec.Struct):
    method: str = "forward"
    method_output_name: str | list[str] | None = None


class _Fields(msgspec.Struct, forbid_unknown_fields=True):
    """All that sentence-transformers 6.2 takes."""

    transformer_task: str | None = None
    model_kwargs: dict[str, object] | None = None
    model_args: dict[str, object] | None = None
    processor_kwargs: dict[str, object] | None = None
    tokenizer_args: dict[str, object] | None = None
    config_kwargs: dict[str, object] | None = None
    config_args: dict[str, object] | None = None
    processing_kwargs: dict[str, object] | None = None
    modality_config: dict[str, _Modality] | None = None
    module_output_name: str | None = None
    max_seq_length: Size | None = None
    do_lower_case: bool = False
    tokenizer_name_or_path: str | None = None
    query_length: int | None = None
    document_length: int | None = None
    query_expansion: object = None
    unpad_inputs: bool | None = None  # a switch of speed

    @property
    def window_tokens(self) -> object:
        """What is set in the place of the tokenizer's own; None = nothing."""
        for arguments in (self.processor_kwargs, self.tokenizer_args):
            if arguments is not None and _WINDOW in arguments:
                return arguments[_WINDOW]
        return self.max_seq_length


class _Template(msgspec.Struct):
    """tokenizer_config.json, as far as it has a template."""

    chat_template: object = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PairModule:
    """What it says of a classifier's pairs."""

    window_tokens: int | None = None  # counts instead of the tokenizer's; None = not said
    lowercases: bool = False  # texts, before the tokenizer's own normalizer
    is_text: bool = False  # whether it says that texts are read as they are, without a template


AS_THE_TOKENIZER: Final = PairModule()


def read_pair_module(word: FolderWord) -> PairModule:
    """Of the module of a classifier; what says nothing changes nothing.

    Raises:
        StartError: it says something that changes scores and is not followed.
    """
    path = _path(word.folder / (word.modules[0].path if word.modules else ""))
    if path is None or not word.has_saved_settings:
        return PairModule(is_text=word.has_saved_settings)
    said = read_json(path, _Fields)
    _refuse_arguments(path, said)
    if said.transformer_task not in (None, _CLASSIFIER):
        raise StartError(
            f"{path}: transformer_task is {shown(said.transformer_task)}; with the other files it "
            f"would be {shown(_CLASSIFIER)}."
        )
    if not (said.modality_config or {}).keys() <= {"text"}:
        raise StartError(
            f"{path}: modality_config names more than text, so that pairs are put into a chat "
            "template; rerankd runs none."
        )
    return PairModule(
        window_tokens=_window(path, said), lowercases=said.do_lower_case, is_text=True
    )


def read_states_module(folder: Path, *, has_lengths: bool = False) -> int | None:
    """The longest text in tokens that the file allows an encoder without a head; None = not said.

    Args:
        folder: of the module.
        has_lengths: the caller reads the lengths of queries and documents, and lower case.

    Raises:
        StartError: the file is damaged, or says what is not computed here.
    """
    path = _path(folder)
    if path is None:
        return None
    fields = read_json(path, _Fields)
    _refuse_arguments(path, fields)
    texts = (fields.modality_config or {}).get("text") or _Modality()
    task, output = fields.transformer_task, fields.module_output_name
    wrong = {
        "do_lower_case true": fields.do_lower_case and not has_lengths,
        f"transformer_task {shown(task)} (only 'feature-extraction')": (
            task not in (None, "feature-extraction")
        ),
        f"module_output_name {shown(output)} (only 'token_embeddings')": (
            output not in (None, "token_embeddings")
        ),
        f"modality_config.text {texts.method}, {texts.method_output_name}": (
            texts.method != "forward" or texts.method_output_name not in (None, _STATES, [_STATES])
        ),
        "query_length, document_length or query_expansion": not has_lengths
        and any(
            each is not None
            for each in (fields.query_length, fields.document_length, fields.query_expansion)
        ),
    }
    refuse_unsupported(path, wrong)
    return _window(path, fields)


def refuse_template(folder: Path) -> None:
    """sentence-transformers puts the pair into a chat template, if the tokenizer has one.

    A cross-encoder's classifier was not trained on one; nothing here runs one.

    Raises:
        StartError: there is one, and nothing says that it is not used.
    """
    path = folder / TEMPLATE
    if not path.is_file():
        path = folder / TOKENIZER
        said = read_json(path, _Template) if path.is_file() else _Template()
        if said.chat_template is None:
            return
    raise StartError(
        f"{path}: a chat_template, into which sentence-transformers would put each pair; rerankd "
        "runs none. If the model was trained without, remove it."
    )


def _path(folder: Path) -> Path | None:
    return next((folder / name for name in NAMES if (folder / name).is_file()), None)


def _window(path: Path, said: _Fields) -> int | None:
    window = said.window_tokens
    if window is None or (isinstance(window, int) and window > 0):
        return window
    raise StartError(f"{path}: {_WINDOW} is {shown(window)}; a number of tokens is expected.")


def _refuse_arguments(path: Path, said: _Fields) -> None:
    """What is handed on to transformers, and changes scores there."""
    arguments = {
        "model_kwargs": said.model_kwargs,
        "model_args": said.model_args,
        "processor_kwargs": said.processor_kwargs,
        "tokenizer_args": said.tokenizer_args,
        "config_kwargs": said.config_kwargs,
        "config_args": said.config_args,
        "processing_kwargs": said.processing_kwargs,
    }
    wrong = [
        f"{key} {name}"
        for key, values in arguments.items()
        for name, value in (values or {}).items()
        if name not in _HOW and value not in ({}, None)
    ]
    wrong += ["tokenizer_name_or_path"] if said.tokenizer_name_or_path is not None else []
    if wrong:
        raise StartError(
            f"{path} is not supported: {', '.join(shown(key)[1:-1] for key in wrong[:5])}. It "
            "would change what the model reads or computes."
        )
