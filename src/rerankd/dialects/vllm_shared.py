"""What vLLM's two APIs share: texts and parts, the instruction, usage and errors."""

from __future__ import annotations

from typing import Annotated, Any, Final, cast

import msgspec
from msgspec import Meta

from rerankd.core.errors import InvalidRequest, RerankError, UnknownModel
from rerankd.core.request import Content, Modality
from rerankd.dialects import fields
from rerankd.dialects.fields import Object
from rerankd.dialects.openai_errors import OpenAiError, openai_error
from rerankd.dialects.wire import Envelope, Options, WireAnswer

Said = Annotated[str, Meta(min_length=1)]
One = str | Object
Asked = fields.Said | Object
Several = Annotated[list[One], Meta(extra_json_schema={"minItems": 1})]
Many = One | Several

WHAT_CONTENT: Final = 'A string, or {"content": [parts]} with text, or one image_url or video_url.'


class VllmUsage(msgspec.Struct):
    """Exact counts of the model's own tokenizer."""

    prompt_tokens: int | None
    total_tokens: int | None


class VllmUnauthorized(msgspec.Struct):
    """vLLM's 401."""

    error: str


ERRORS: dict[int, Any] = {
    401: VllmUnauthorized,
    **dict.fromkeys((400, 402, 403, 404, 408, 413, 429, 500, 502, 503, 504), OpenAiError),
}
_PARTS: dict[str, Modality] = {"image_url": "image", "video_url": "video"}
_KINDS = {400: "BadRequestError", 403: "Forbidden", 404: "NotFoundError", 413: "BadRequestError"}


def content(value: One, name: str) -> Content:
    """A string, or an object with content parts. Raises InvalidRequest naming the field."""
    if isinstance(value, str):
        return Content(value=value)
    parts: Any = value.get("content")
    if parts is None and "text" in value:
        return fields.content(value, name)
    if not isinstance(parts, list) or not parts:
        raise InvalidRequest(f'{name}: an object needs "content", a list of parts.', param=name)
    found = [_part(part, f"{name}.content[{i}]") for i, part in enumerate(cast("list[Any]", parts))]
    if all(modality == "text" for modality, _ in found):
        return Content(value="\n".join(text for _, text in found), echo=value)
    if len(found) > 1:
        raise InvalidRequest(
            f"{name}: send texts, or one image or video; no mixture.", param=f"{name}.content"
        )
    modality, reference = found[0]
    return Content(modality=modality, value=reference, echo=value)


def _part(part: object, name: str) -> tuple[Modality, str]:
    found = cast("Object", part) if isinstance(part, dict) else {}
    kind = found.get("type")
    kind = kind if isinstance(kind, str) else ""
    inner: Any = found.get(kind)
    if kind in _PARTS and isinstance(inner, dict):
        inner = cast("Object", inner).get("url")
    if kind not in ("text", *_PARTS) or not isinstance(inner, str):
        raise InvalidRequest(
            f'{name}: expected {{"type": "text", "text": …}}, or an image_url or video_url with a '
            "url.",
            param=name,
        )
    return _PARTS.get(kind, "text"), inner


def contents(value: Many, options: Options, name: str) -> tuple[Content, ...]:
    """One or several, within the operator's limit. Raises InvalidRequest naming the field."""
    values = value if isinstance(value, list) else [value]
    fields.refuse(not values, name, "at least 1 is needed. Send a string, or a list of them.")
    fields.at_most(values, options, name)
    if not isinstance(value, list):
        return (content(value, name),)
    return tuple(content(found, f"{name}[{i}]") for i, found in enumerate(value))


def instruction_of(kwargs: Object | None) -> str | None:
    """What chat_template_kwargs says. Raises InvalidRequest for anything else in it."""
    said = {key: value for key, value in (kwargs or {}).items() if value is not None}
    instruction = said.pop("instruction", None)
    if said or not (instruction is None or (isinstance(instruction, str) and instruction)):
        raise InvalidRequest(
            'chat_template_kwargs: only a non-empty "instruction" is supported; the template is '
            "the model's own.",
            param="chat_template_kwargs",
        )
    return instruction


def render_error(error: RerankError, envelope: Envelope, options: Options) -> WireAnswer:
    """OpenAI's form with the status as its code; an unknown model is a 404."""
    if error.status == 401:
        body = msgspec.json.encode(VllmUnauthorized("Unauthorized"))
        answer = openai_error(error, status=401, kinds=_KINDS, code=401)
        return WireAnswer(status=401, body=body, headers=answer.headers)
    status = 404 if isinstance(error, UnknownModel) else error.status
    return openai_error(error, status=status, kinds=_KINDS, code=status)


def content_or_none(value: Any) -> Content | None:
    """As content(); None for an object that is not vLLM's."""
    try:
        return content(value, "")
    except InvalidRequest:
        return None
