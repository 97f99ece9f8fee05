"""What a request may bring: refused with a sentence before anything is fetched or scored. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from rerankd.core.errors import InvalidRequest
from rerankd.core.request import Content, RerankRequest
from rerankd.models import catalog
from rerankd.models.base import ModelCard
from rerankd.settings.schema import Limits

_MOST_BYTES = 4  # of a character in UTF-8
_MEDIA_BYTES = 4096  # of text that costs as much as an image or a video; an estimate as well


def check(request: RerankRequest, limits: Limits, card: ModelCard) -> None:
    """Refuse longer input than the operator allows, then what the model cannot read.

    How large images and videos may be is `media`'s.

    Raises:
        InvalidRequest: names the field, the limit, the setting and the way out.
    """
    if _are_short_texts(request, limits, card):
        return
    foreign: tuple[str, Content] | None = None
    for name, content in request.contents():
        if content.modality == "text":
            which = "query_bytes" if name == "query" else "document_bytes"
            _check_bytes(content.value, name, getattr(limits, which), f"limits.{which}")
        if foreign is None and content.modality not in card.modalities:
            foreign = name, content
    if foreign is not None:
        raise _cannot_read(*foreign, card)


def check_bytes(request: RerankRequest, limits: Limits) -> None:
    """Refuse longer texts than the operator allows, whoever is to read them.

    Raises:
        InvalidRequest: names the field, the limit, the setting and the way out.
    """
    for name, content in request.contents():
        if content.modality == "text":
            which = "query_bytes" if name == "query" else "document_bytes"
            _check_bytes(content.value, name, getattr(limits, which), f"limits.{which}")


def check_modalities(request: RerankRequest, card: ModelCard) -> None:
    """Refuse images and video that the model cannot read.

    Raises:
        InvalidRequest: names the field, and the models that could answer.
    """
    for name, content in request.contents():
        if content.modality not in card.modalities:
            raise _cannot_read(name, content, card)


def _are_short_texts(request: RerankRequest, limits: Limits, card: ModelCard) -> bool:
    """Whether all of it is text, whose characters are few enough whatever they are: as usual."""
    query, most = request.query, limits.document_bytes
    return (
        "text" in card.modalities
        and query.modality == "text"
        and len(query.value) * _MOST_BYTES <= limits.query_bytes
        and all(
            d.modality == "text" and len(d.value) * _MOST_BYTES <= most for d in request.documents
        )
    )


def _cannot_read(name: str, content: Content, card: ModelCard) -> InvalidRequest:
    return InvalidRequest(
        f"{name}: is {_a(content.modality)}; {card.name} reads "
        f"{', '.join(sorted(card.modalities))} only. {readers(content)}",
        param=name,
    )


def check_ranks(card: ModelCard) -> None:
    """Refuse to rank with a model that is served to embed alone. Raises InvalidRequest."""
    if not card.ranks:
        raise InvalidRequest(
            f"model: {card.name} embeds and does not rank. GET /v1/models lists under `tasks` what "
            "each model does.",
            param="model",
        )


def check_text_bytes(text: str, name: str, limit: int) -> None:
    """Refuse a longer text than limits.document_bytes. Raises InvalidRequest."""
    _check_bytes(text, name, limit, "limits.document_bytes")


def _check_bytes(text: str, name: str, limit: int, setting: str) -> None:
    characters = len(text)
    if characters * _MOST_BYTES <= limit:  # whatever they are: most texts need no more than this
        return
    size = characters if text.isascii() else _utf8_bytes(text)
    if size > limit:
        raise InvalidRequest(
            f"{name}: {size} bytes of UTF-8; the limit is {limit} ({setting}). Send less, or "
            "split it.",
            param=name,
        )


def _utf8_bytes(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))


def readers(content: Content) -> str:
    """A sentence that names the models that read an image or a video."""
    what = "images" if content.modality == "image" else content.modality
    return f"Models that read {what}: {', '.join(catalog.readers_of(content.modality))}."


def _a(modality: str) -> str:
    return "an image" if modality == "image" else f"a {modality}"


def text_bytes(requests: Sequence[RerankRequest], card: ModelCard) -> int:
    """About how many bytes of text a model reads for requests.

    The query counts in each pair; a listwise model's prompt has it twice.
    """
    return sum(
        sum(map(_bytes_of, request.documents))
        + _bytes_of(request.query) * (2 if card.family.is_listwise else len(request.documents))
        for request in requests
    )


def _bytes_of(content: Content) -> int:
    return len(content.value) if content.modality == "text" else _MEDIA_BYTES
