"""A `Pooling` module of sentence-transformers: of a text's tokens to one vector.

Source: sentence-transformers 6.2, sentence_transformer/modules/pooling.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

from rerankd.engines.dense import PoolingMode
from rerankd.models.folder_file import read_json, shown
from rerankd.models.sizes import Size
from rerankd.models.unsupported import refuse_unsupported

_MODES: Final[tuple[PoolingMode, ...]] = ("cls", "max", "mean", "mean_sqrt_len_tokens", "lasttoken")


class _Fields(msgspec.Struct):
    """config.json of the module, in its newer and its older form."""

    embedding_dimension: Size | None = None
    pooling_mode: str | list[str] | None = None
    include_prompt: bool = True
    word_embedding_dimension: Size | None = None
    pooling_mode_cls_token: bool = False
    pooling_mode_max_tokens: bool = False
    pooling_mode_mean_tokens: bool = False
    pooling_mode_mean_sqrt_len_tokens: bool = False
    pooling_mode_weightedmean_tokens: bool = False
    pooling_mode_lasttoken: bool = False

    @property
    def modes(self) -> list[str]:
        """Every one; several stand behind one another in this order. None = the mean."""
        if self.pooling_mode is not None:
            said = self.pooling_mode
            return [said] if isinstance(said, str) else said
        older = {
            "cls": self.pooling_mode_cls_token,
            "max": self.pooling_mode_max_tokens,
            "mean": self.pooling_mode_mean_tokens,
            "mean_sqrt_len_tokens": self.pooling_mode_mean_sqrt_len_tokens,
            "weightedmean": self.pooling_mode_weightedmean_tokens,
            "lasttoken": self.pooling_mode_lasttoken,
        }
        return [mode for mode, is_chosen in older.items() if is_chosen] or ["mean"]


def read_pooling(folder: Path, hidden: int) -> tuple[PoolingMode, ...]:
    """Its modes, whose vectors stand behind one another.

    Args:
        folder: of the module.
        hidden: values of a token's vector.

    Raises:
        StartError: config.json is missing or damaged, or says what is not computed here.
    """
    path = folder / "config.json"
    fields = read_json(path, _Fields)
    said = fields.embedding_dimension or fields.word_embedding_dimension or hidden
    unknown = [mode for mode in fields.modes if mode not in _MODES]
    wrong = {
        f"pooling_mode {shown(', '.join(unknown))[1:-1]} (only {', '.join(_MODES)})": bool(unknown),
        "pooling_mode []": not fields.modes,
        f"pooling_mode of {len(fields.modes)} (at most {len(_MODES)})": (
            len(fields.modes) > len(_MODES)
        ),
        "include_prompt false": not fields.include_prompt,
        f"{said} values behind an encoder of {hidden}": said != hidden,
    }
    refuse_unsupported(path, wrong)
    return tuple(known for mode in fields.modes for known in _MODES if known == mode)
