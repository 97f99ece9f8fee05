"""A checkpoint folder of a listwise reranker as sizes, recipe, tokenizer and tensors.

As models.decoder_checkpoint: nothing in the folder is executed. v3.5 is told from v3 by its window.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from rerankd.core.errors import StartError
from rerankd.engines.listwise_config import ListwiseConfig, tensor_shapes
from rerankd.models.decoder_checkpoint import read_decoder_config
from rerankd.models.folder_file import read_json, shown
from rerankd.models.listwise_recipes import (
    DOCUMENT_MARK,
    SPECIALS,
    V3,
    V3_5,
    ListwiseRecipe,
)
from rerankd.models.sizes import Size
from rerankd.models.tokenizer_config import NAME, read_tokenizer_config
from rerankd.models.tokenizer_file import read_tokenizer
from rerankd.models.unsupported import refuse_unsupported
from rerankd.models.weights import SafetensorsFolder

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_SLIDING, _FULL = "sliding_attention", "full_attention"
_NO_LIMIT: Final = 1 << 60  # of a tokenizer without one


class _Windows(msgspec.Struct):
    """The fields of config.json that say which tokens a layer sees; defaults are transformers'."""

    num_hidden_layers: Size
    use_sliding_window: bool = False
    sliding_window: Size | None = 4096
    max_window_layers: int = 28
    layer_types: list[str] | None = None

    def kinds(self) -> list[str]:
        """Of each layer."""
        if self.layer_types is not None:
            return self.layer_types
        slides = self.use_sliding_window and self.sliding_window is not None
        return [
            _SLIDING if slides and layer >= self.max_window_layers else _FULL
            for layer in range(self.num_hidden_layers)
        ]


class _Decoding(msgspec.Struct):
    """What tokenizer_config.json says of the text that tokens stand for."""

    clean_up_tokenization_spaces: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ListwiseCheckpoint:
    """An opened folder; tensors are still on disk."""

    config: ListwiseConfig
    recipe: ListwiseRecipe
    tokenizer: Tokenizer  # without truncation and padding
    max_length: int  # of the tokenizer: blocks are made by it
    mark: int  # the token id whose state is a document's
    weights: SafetensorsFolder


def open_listwise(folder: Path, *, are_kept: bool = True) -> ListwiseCheckpoint:
    """Read and check a folder.

    Args:
        folder: the checkpoint.
        are_kept: as SafetensorsFolder has it.

    Raises:
        StartError: a file is missing or damaged, asks for what is not computed here, or the
            tensors are not exactly those that it needs; the message says what to do.
    """
    path = folder / "config.json"
    decoder, windows = read_decoder_config(folder), read_json(path, _Windows)
    kinds = windows.kinds()
    windowed = frozenset(i for i, kind in enumerate(kinds) if kind == _SLIDING)
    weights = SafetensorsFolder(folder, prefix="model.", are_kept=are_kept)
    wrong = {
        f"layer_types of {len(kinds)} layers, of num_hidden_layers {decoder.layers}": (
            len(kinds) != decoder.layers
        ),
        f"layer_types other than {_SLIDING} and {_FULL}": bool(set(kinds) - {_SLIDING, _FULL}),
        f"layer_types with {_SLIDING}, but use_sliding_window false or no sliding_window": (
            bool(windowed) and not (windows.use_sliding_window and windows.sliding_window)
        ),
    }
    refuse_unsupported(path, wrong)
    config = ListwiseConfig(
        decoder=decoder,
        inner=_rows(weights, "projector.0.weight", folder),
        dimensions=_rows(weights, "projector.2.weight", folder),
        window=windows.sliding_window if windowed else None,
        windowed=windowed,
    )
    # lm_head: some checkpoints bring a copy of the embedding table; nothing is generated
    weights.require(tensor_shapes(config), unread=("lm_head.",))
    tokenizer = read_tokenizer(folder, decoder.vocab)
    said = read_tokenizer_config(folder).window_tokens
    return ListwiseCheckpoint(
        config=config,
        recipe=V3_5 if windows.use_sliding_window else V3,
        tokenizer=tokenizer,
        max_length=_NO_LIMIT if said is None else said,
        mark=_checked_specials(tokenizer, folder),
        weights=weights,
    )


def _rows(weights: SafetensorsFolder, name: str, folder: Path) -> int:
    """The outputs of a projection."""
    shape = weights.shapes().get(name, ())
    if len(shape) != 2:
        raise StartError(
            f"{folder}: no tensor {name}: a listwise reranker's projector is missing, as in "
            "conversions to other forms. Get the publisher's own files."
        )
    return shape[0]


def _checked_specials(tokenizer: Tokenizer, folder: Path) -> int:
    """The id of DOCUMENT_MARK, once every special token of the prompt is one.

    Raises:
        StartError: one is text, or decoding would change texts.
    """
    if _decoding(folder).clean_up_tokenization_spaces:
        raise StartError(
            f"{folder / NAME}: clean_up_tokenization_spaces true changes texts that are cut, which "
            "rerankd does not do; set it to false, as published."
        )
    for special in SPECIALS:
        if len(tokenizer.encode(special, add_special_tokens=False).ids) != 1:
            raise StartError(
                f"{folder}/tokenizer.json has no token {shown(special)}, which the model's prompt "
                "is made of; the tokenizer belongs to another model."
            )
    return tokenizer.encode(DOCUMENT_MARK, add_special_tokens=False).ids[0]


def _decoding(folder: Path) -> _Decoding:
    path = folder / NAME
    return read_json(path, _Decoding) if path.exists() else _Decoding()
