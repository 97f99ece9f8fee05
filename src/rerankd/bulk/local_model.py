"""What a manifest says of a model of this process."""

from __future__ import annotations

from rerankd.bulk.manifest import fingerprint
from rerankd.core.errors import StartError
from rerankd.engines.cores import usable_cores
from rerankd.models.base import AnyModel, is_listwise
from rerankd.models.load import Spec


def facts_of(spec: Spec, model: AnyModel, version: str) -> dict[str, str]:
    """What scores depend on. Raises StartError: the model's folder cannot be read."""
    info = model.engine.info
    found = {
        "model": spec.name,
        "engine": info.name,
        "precision": info.precision,
        "window_tokens": str(model.card.window_tokens or ""),
        "rerankd": version,
    }
    if spec.folder is not None:
        try:
            found["fingerprint"] = fingerprint(spec.folder)
        except OSError as error:
            raise StartError(f"{spec.folder} cannot be read: {error.strerror}.") from None
    return found


def machine_of(model: AnyModel) -> dict[str, str]:
    """What the last digits of scores may depend on."""
    return {"device": model.engine.info.device, "cores": str(usable_cores())}


def check_kind(model: AnyModel, *, is_pairs: bool) -> None:
    """Raises StartError: the model ranks lists, and pairs are none; or it does not rank."""
    if not model.card.ranks:
        raise StartError(f"{model.card.name} embeds and does not rank.")
    if is_pairs and is_listwise(model):
        raise StartError(
            f"{model.card.name} is listwise: a score depends on all documents of a request. Give "
            "requests, a query with its documents in each line, instead of pairs."
        )
