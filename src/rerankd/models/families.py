"""The families of models: what all of one kind can do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from rerankd.core.request import Modality

TEXT: Final[frozenset[Modality]] = frozenset({"text"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """One way to score a pair."""

    name: str
    modalities: frozenset[Modality] = TEXT  # what its models read
    takes_instruction: bool = False
    is_listwise: bool = False  # all documents of a request are read together
    needs_torch: bool = False  # only the torch engine runs it, which is an extra


LEXICAL: Final = Family(name="lexical")
LATE_INTERACTION: Final = Family(name="late-interaction")
CROSS_ENCODER: Final = Family(name="cross-encoder")
COLBERT: Final = Family(name="colbert")
BI_ENCODER: Final = Family(name="bi-encoder")
CAUSAL_YES_NO: Final = Family(name="causal-yes-no", takes_instruction=True)
LISTWISE: Final = Family(name="listwise", takes_instruction=True, is_listwise=True)
VISION_YES_NO: Final = Family(
    name="vision-yes-no",
    modalities=frozenset({"text", "image", "video"}),
    takes_instruction=True,
    needs_torch=True,
)
