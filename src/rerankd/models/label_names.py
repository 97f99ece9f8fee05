"""Which of two labels means "relevant", where config.json says it by name."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import msgspec

from rerankd.core.errors import StartError
from rerankd.models.folder_file import read_json, shown

_MEANS: Final = {
    **dict.fromkeys(("relevant", "related", "positive", "pos", "entailment", "entails"), True),
    **dict.fromkeys(("yes", "true", "similar", "duplicate", "match", "good"), True),
    **dict.fromkeys(("irrelevant", "nonrelevant", "unrelated", "negative", "neg"), False),
    **dict.fromkeys(("contradiction", "no", "false", "different", "mismatch", "bad"), False),
}
_NOT: Final = re.compile(r"^(?:not|non|no|un)_(.+)$")


class _Labels(msgspec.Struct):
    id2label: dict[str, object] | None = None


def relevant_label(config: Path) -> int:
    """The index of the label that speaks for a document: 1, unless the names say 0.

    Raises:
        StartError: both names say the same, or the only one says irrelevant.
    """
    names = read_json(config, _Labels).id2label or {}
    if len(names) == 1 and _meaning(names.get("0")) is False:
        raise StartError(
            f"{config}: id2label calls the only label {shown(names['0'])}, so that a high score "
            "would speak against a document; rename it if it speaks for one."
        )
    if len(names) != 2:
        return 1
    said = [_meaning(names.get(str(index))) for index in (0, 1)]
    if said[0] is not None and said[0] == said[1]:
        raise StartError(
            f"{config}: id2label calls both labels alike ({shown(names['0'])} and "
            f'{shown(names["1"])}); name the one that means relevant "relevant" and the other '
            '"irrelevant".'
        )
    return 0 if said[0] is True or said[1] is False else 1


def _meaning(name: object) -> bool | None:
    """True = relevant, False = not, None = the name says nothing (LABEL_0)."""
    if not isinstance(name, str):
        return None
    word = re.sub(r"[^a-z]+", "_", name[:100].lower()).strip("_").removeprefix("is_")
    negated = _NOT.match(word)
    if negated is not None:
        inner = _meaning(negated[1])
        return None if inner is None else not inner
    return _MEANS.get(word)
