"""A checkpoint folder (config.json, tokenizer.json, *.safetensors) as sizes, tokenizer and tensors.

Nothing in the folder is executed: no pickle is opened, and `auto_map` (remote code) is ignored.
The family is decided by config.json, never by the folder's name. Tensors: models.weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rerankd.core.errors import StartError
from rerankd.engines.any_encoder import AnyEncoder, tensor_shapes
from rerankd.models.encoder_families import family_of
from rerankd.models.label_names import relevant_label
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """An opened folder; tensors are still on disk."""

    folder: Path
    config: AnyEncoder
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
    family = family_of(folder)
    config = family.sizes(folder)
    said = read_tokenizer_config(folder)
    tokenizer, notes = read_any_tokenizer(folder, config.vocab)
    follow_config(tokenizer, said, family.model_type, folder)
    types = token_types_of(tokenizer, config.token_types, said, family.model_type, folder)
    weights = SafetensorsFolder(folder, prefix=family.prefix, rename=family.rename)
    weights.require(tensor_shapes(config), unread=family.unread)
    return Checkpoint(
        folder=folder,
        config=config,
        tokenizer=tokenizer,
        model_max_length=said.window_tokens,
        weights=weights,
        token_types=types,
        relevant=relevant_label(folder / "config.json"),
        notes=notes,
    )


def token_types_of(
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
