"""What the operations' endpoints answer with; the OpenAPI document is made from these types."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from rerankd.core.facts import WorkerFacts
from rerankd.core.trial import PrecisionTrial


class ModelInfo(msgspec.Struct):
    """One served name, in OpenAI's form of a model list."""

    id: str
    object: str
    created: int
    owned_by: str
    root: str  # the model that answers: differs from id for an alias
    window_tokens: int | None
    modalities: list[str]
    engine: str | None  # None while it loads
    default: bool
    tasks: list[str]  # "rerank", "embed"; none until it is loaded
    dimensions: int | None  # of its vectors; None = it does not embed
    precision: str | None  # that it runs in; None while it loads
    precision_trials: tuple[PrecisionTrial, ...]  # of precision = "auto", fp32 first; else none
    floor: float | None  # relevance_score from which on the operator keeps documents; filters none
    model_type: str = "rerank"  # what Xinference's client asks before it ranks


class ModelList(msgspec.Struct):
    """All served names, the default first."""

    object: str
    data: list[ModelInfo]


class UserData(msgspec.Struct):
    """What is known of the caller: the key's name; a balance where something limits its money."""

    id: str  # name of the key, "" on an open server
    name: str = ""
    image: str = ""
    email: str = ""
    isAdmin: bool = False  # noqa: N815 - SiliconFlow's name
    status: str = "normal"
    introduction: str = ""
    role: str = ""
    balance: str | UnsetType = UNSET  # decimal texts
    chargeBalance: str | UnsetType = UNSET  # noqa: N815 - SiliconFlow's name; prepaid
    totalBalance: str | UnsetType = UNSET  # noqa: N815 - both together


class UserInfo(msgspec.Struct):
    """SiliconFlow's answer about a key."""

    data: UserData
    code: int = 20000
    message: str = "OK"
    status: bool = True


class HealthReport(msgspec.Struct):
    """Whether each model really scores."""

    status: str
    models: dict[str, str]
    workers: dict[str, str] | UnsetType = UNSET  # what each does, where there are some


class WorkerList(msgspec.Struct):
    """The processes that score."""

    object: str
    data: list[WorkerFacts]


class ReadyReport(msgspec.Struct):
    """Whether to send requests here."""

    status: str
    models: list[str]
    warnings: dict[str, list[str]]


class Reloaded(msgspec.Struct):
    """What became of reading the settings again."""

    taken: list[str]  # "keys", "models": the latter with aliases, upstreams and routes
    refused: str | None  # why the rest stays as it was
    needs_restart: list[dict[str, Any]]  # setting, running value, new value
