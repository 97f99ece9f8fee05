"""Why tensors do not fit: the names that a wrapper, an adapter or a quantiser leaves behind."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Final

from rerankd.models.conversion import how_to_download, how_to_strip

_ADAPTED: Final = (".lora_A.", ".lora_B.", ".base_layer.", ".modules_to_save.", ".original_module.")
_QUANTISED: Final = (
    *("qweight", "qzeros", "g_idx", "weight_packed", "weight_scale", "weight_scale_inv", "SCB"),
    *("weight.absmax", "weight.quant_map", "scales", "weight_zero_point", "weight_shape"),
)
_DEEPEST: Final = 8  # parts of a wrapper's name


def why_unfit(
    folder: Path,
    missing: Collection[str],
    unused: Sequence[str],
    canonical: Callable[[str], tuple[str, ...]],
) -> str:
    """What the operator should do about a folder whose tensors are not those of config.json.

    Args:
        folder: of the model.
        missing: canonical names that were looked for.
        unused: names that are there instead.
        canonical: what a tensor's name means; several where it joins several.
    """
    if any(part in name for name in unused for part in _ADAPTED):
        return (
            "They are a model with an adapter (LoRA, by PEFT) that was not merged into it. Where "
            "it was trained, save it with: model.merge_and_unload().save_pretrained(FOLDER)"
        )
    if any(name.endswith(_QUANTISED) for name in unused):
        return (
            "They are quantised, and only F32, F16 and BF16 weights are read. "
            f"{how_to_download(None)}"
        )
    prefix = _wrapper(missing, unused, canonical)
    if prefix is not None:
        return (
            f"Each has {prefix!r} before its name, which a wrapper left there (DDP, torch.compile, "
            f"PEFT). {how_to_strip(folder, prefix)}"
        )
    return "Is it a whole checkpoint of that architecture, as transformers saves it?"


def _wrapper(
    missing: Collection[str], unused: Sequence[str], canonical: Callable[[str], tuple[str, ...]]
) -> str | None:
    """The shortest beginning without which the unused tensors are the missing ones."""
    first = min(unused, default="") if missing else ""
    ends = [at + 1 for at, char in enumerate(first) if char == "."]
    for end in ends[:_DEEPEST]:
        if not all(name.startswith(first[:end]) for name in unused):
            return None
        stripped = {part for name in unused for part in canonical(name[end:])}
        if stripped.issuperset(missing):
            return first[:end]
    return None
