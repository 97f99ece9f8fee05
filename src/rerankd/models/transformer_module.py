"""A `Transformer` module of sentence-transformers: sentence_bert_config.json beside config.json.

Source: sentence-transformers 6.2, base/modules/transformer.py; before 5.4 the file held the longest
text and whether it was made lower case.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

from rerankd.models.folder_file import read_json, shown
from rerankd.models.sizes import Size
from rerankd.models.unsupported import refuse_unsupported

NAME: Final = "sentence_bert_config.json"
_STATES: Final = "last_hidden_state"


class _Modality(msgspec.Struct):
    method: str = "forward"
    method_output_name: str | list[str] | None = None


class _Fields(msgspec.Struct):
    """The fields that change what is computed; unpad_inputs is a switch of speed."""

    max_seq_length: Size | None = None
    do_lower_case: bool = False
    transformer_task: str = "feature-extraction"
    module_output_name: str = "token_embeddings"
    modality_config: dict[str, _Modality] | None = None
    processing_kwargs: dict[str, object] | None = None
    query_length: int | None = None
    document_length: int | None = None
    query_expansion: object = None


def read_states_module(folder: Path) -> int | None:
    """The longest text in tokens that the file allows an encoder without a head; None = not said.

    Raises:
        StartError: the file is damaged, or says what is not computed here.
    """
    path = folder / NAME
    if not path.exists():
        return None
    fields = read_json(path, _Fields)
    texts = (fields.modality_config or {}).get("text") or _Modality()
    arguments = [key for key, value in (fields.processing_kwargs or {}).items() if value]
    wrong = {
        "do_lower_case true": fields.do_lower_case,
        f"transformer_task {shown(fields.transformer_task)} (only 'feature-extraction')": (
            fields.transformer_task != "feature-extraction"
        ),
        f"module_output_name {shown(fields.module_output_name)} (only 'token_embeddings')": (
            fields.module_output_name != "token_embeddings"
        ),
        f"modality_config.text {texts.method}, {texts.method_output_name}": (
            texts.method != "forward" or texts.method_output_name not in (None, _STATES, [_STATES])
        ),
        f"processing_kwargs {', '.join(arguments)}": bool(arguments),
        "query_length, document_length or query_expansion": (
            fields.query_length is not None
            or fields.document_length is not None
            or fields.query_expansion is not None
        ),
    }
    refuse_unsupported(path, wrong)
    return fields.max_seq_length
