"""Who new-api or LiteLLM sends requests on to, as [upstream] and [route] tables to paste.

No secret is ever written: each upstream names a variable that its key is to be in.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, cast

import msgspec

from rerankd.imports.rows import Row, number, text_of, words

# new-api's constant/channel.go: type -> dialect, and the URL that an empty base_url stands for.
_CHANNELS: Final = {
    1: ("jina", ""),  # OpenAI's and others' of that form: their /v1/rerank is Jina's
    8: ("jina", ""),
    17: ("dashscope", "https://dashscope.aliyuncs.com"),
    34: ("cohere", "https://api.cohere.com"),
    38: ("jina", "https://api.jina.ai"),
    40: ("siliconflow", "https://api.siliconflow.cn"),
    47: ("xinference", ""),
}
# LiteLLM: the word before the first slash of a model.
_PROVIDERS: Final = {
    "cohere": ("cohere", "https://api.cohere.com"),
    "dashscope": ("dashscope", "https://dashscope.aliyuncs.com"),
    "deepinfra": ("deepinfra", "https://api.deepinfra.com"),
    "fireworks_ai": ("fireworks", "https://api.fireworks.ai/inference"),
    "hosted_vllm": ("vllm", ""),
    "huggingface": ("tei", ""),
    "infinity": ("infinity", ""),
    "jina_ai": ("jina", "https://api.jina.ai"),
    "nvidia_nim": ("nvidia", "https://ai.api.nvidia.com"),
    "together_ai": ("together", "https://api.together.xyz"),
    "voyage": ("voyage", "https://api.voyageai.com"),
    "xinference": ("xinference", ""),
}
_VARIABLE: Final = "os.environ/"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedTarget:
    """One upstream that answers for a name."""

    served: str  # the name that callers ask for
    upstream: str
    dialect: str
    url: str
    key_env: str
    model: str  # its own name of the model
    weight: int = 1
    priority: int = 0  # higher is asked first
    rpm: int | None = None
    tpm: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """What was found in an export."""

    targets: tuple[ImportedTarget, ...]
    lost: tuple[str, ...]  # sentences: what has no place here


def of_new_api(rows: Iterable[Row]) -> Read:
    """Channels: `GET /api/channel/`, or the table `channels`."""
    targets: list[ImportedTarget] = []
    lost: list[str] = []
    for row in rows:
        label = text_of(row.get("name")) or f"channel {text_of(row.get('id'))}"
        kind = number(row.get("type")) or 0
        dialect, usual = _CHANNELS.get(kind, ("", ""))
        url = text_of(row.get("base_url")) or usual
        if text_of(row.get("status")) not in ("", "1"):
            lost.append(f"{label}: is disabled there")
        elif not dialect:
            lost.append(f"{label}: type {kind} has no dialect that can be called here")
        elif not url:
            lost.append(f"{label}: has no base_url")
        else:
            targets += _of_channel(row, label, (dialect, url), lost)
    return Read(targets=tuple(targets), lost=tuple(lost))


def of_litellm(rows: Iterable[Row]) -> Read:
    """Entries of model_list: a configuration as JSON, `GET /model/info`, or the table of models."""
    targets: list[ImportedTarget] = []
    lost: list[str] = []
    for row in rows:
        label = text_of(row.get("model_name")) or "an entry without model_name"
        params, info = _object(row.get("litellm_params")), _object(row.get("model_info"))
        provider, _, model = text_of(params.get("model")).partition("/")
        mode = text_of(info.get("mode")) or ("rerank" if _ranks(model) else "")
        dialect, usual = _PROVIDERS.get(provider, ("", ""))
        url = text_of(params.get("api_base")) or usual
        if mode != "rerank":
            lost.append(f"{label}: is no reranker by its mode or name")
        elif not dialect or not url:
            why = "no api_base" if dialect else "no dialect that can be called here"
            lost.append(f"{label}: {provider or 'its provider'}: {why}")
        else:
            name = _name(
                f"{provider}-{url.partition('//')[2]}" if params.get("api_base") else provider
            )
            written = text_of(params.get("api_key"))
            is_variable = written.startswith(_VARIABLE)
            targets.append(
                ImportedTarget(
                    served=label,
                    upstream=name,
                    dialect=dialect,
                    url=url,
                    key_env=written.removeprefix(_VARIABLE) if is_variable else _variable(name),
                    model=model,
                    weight=number(params.get("weight")) or 1,
                )
            )
            beside = [each for each in ("rpm", "tpm", "timeout", "max_retries") if params.get(each)]
            lost += [f"{label}: {each} of one model: set it for the upstream" for each in beside]
    return Read(targets=tuple(targets), lost=tuple(lost))


def toml(read: Read) -> str:
    """The tables, to paste into a configuration file."""
    upstreams: dict[str, ImportedTarget] = {}
    routes: dict[str, list[ImportedTarget]] = {}
    for target in read.targets:
        upstreams.setdefault(target.upstream, target)
        routes.setdefault(target.served, []).append(target)
    lines: list[str] = []
    for name, target in upstreams.items():
        lines += [
            f"[upstream.{_quoted(name)}]",
            f"dialect = {_quoted(target.dialect)}",
            f"url = {_quoted(target.url)}",
            f"key_env = {_quoted(target.key_env)}",
            *(["insecure = true  # http: others can read along"] if _is_open(target.url) else []),
            "",
        ]
    for served, targets in routes.items():
        lines += [*_route(served, targets), ""]
    lines += [f"# not taken over: {_comment(sentence)}" for sentence in read.lost]
    return "\n".join(lines)


def _of_channel(
    row: Row, label: str, where: tuple[str, str], lost: list[str]
) -> Iterator[ImportedTarget]:
    """The rerankers of one channel."""
    models = words(row.get("models"))
    mapping = _object(row.get("model_mapping"))
    ranking = [name for name in models if _ranks(name) or _ranks(str(mapping.get(name, "")))]
    if others := len(models) - len(ranking):
        lost.append(f"{label}: {others} models that are no rerankers by their name")
    if len(text_of(row.get("key")).split("\n")) > 1:
        lost.append(f"{label}: has several keys: name several variables, or a key_file")
    beside = ("status_code_mapping", "param_override", "header_override")
    lost += [f"{label}: {each}" for each in beside if text_of(row.get(each)) not in ("", "{}")]
    name = _name(label)
    for served in ranking:
        yield ImportedTarget(
            served=served,
            upstream=name,
            dialect=where[0],
            url=where[1],
            key_env=_variable(name),
            model=str(mapping.get(served, served)),
            weight=number(row.get("weight")) or 1,
            priority=number(row.get("priority")) or 0,
        )


def _route(served: str, targets: list[ImportedTarget]) -> Iterator[str]:
    """One route: by priority; by weight where all have the same."""
    ordered = sorted(targets, key=lambda target: -target.priority)
    is_drawn = len({t.priority for t in targets}) == 1 and len({t.weight for t in targets}) > 1
    yield f"[route.{_quoted(served)}]"
    yield "to = ["
    for target in ordered:
        weight = f", weight = {target.weight}" if is_drawn else ""
        name = f"upstream = {_quoted(target.upstream)}, name = {_quoted(target.model)}"
        yield f"  {{ {name}{weight} }},"
    yield "]"
    if is_drawn:
        yield 'order = "weighted"'


def _ranks(name: str) -> bool:
    return "rerank" in name.lower()


def _object(value: object) -> dict[str, Any]:
    """A JSON object, or the text of one."""
    if isinstance(value, str) and value.strip():
        try:
            value = msgspec.json.decode(value)
        except msgspec.DecodeError:
            return {}
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _name(label: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", label.lower()).strip("-") or "upstream"


def _variable(name: str) -> str:
    return f"{name.replace('-', '_').upper()}_KEY"


def _is_open(url: str) -> bool:
    return url.startswith("http://") and not re.match(r"http://(localhost|127\.|\[::1\])", url)


def _quoted(text: str) -> str:
    """A string of TOML: JSON's form is one of its."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _comment(text: str) -> str:
    return " ".join(text.split())
