"""What a server and one of its workers say to each other: tagged structs, in msgpack.

The server numbers what it asks; everything that is said of it has that number.

    server                      worker
    Setup, Plan, Load       ->
                            <-  Standing (whenever something changed), Taken or Failed
    RankWork or EmbedWork           ->
                            <-  Passed (it waits for its images), CountedTokens
    Go, or Cancel           ->
                            <-  Ranked, EmbeddedTexts or Failed

Times are of time.monotonic(), which all processes of a machine share.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from rerankd.core.answer import Ranking
from rerankd.core.cascade import Cascade
from rerankd.core.chunk import ChunkRule
from rerankd.core.cost import Cost
from rerankd.core.embedding import EmbedRequest
from rerankd.core.facts import BackendFacts
from rerankd.core.graph_cache import GraphCache
from rerankd.core.options import LoadOptions, PromptName
from rerankd.core.portable import ErrorForm
from rerankd.core.request import RerankRequest
from rerankd.models.published import Example
from rerankd.settings.schema import Limits, MediaSettings


class Message(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """Whatever is said."""


class Setup(Message, frozen=True):
    """The first thing that a worker is told: what it is part of, and its share of that."""

    number: int  # of the worker
    limits: Limits
    media: MediaSettings
    graphs: GraphCache | None


class SpecForm(msgspec.Struct, frozen=True):
    """A models.load.Spec as plain data; its activation follows from its name."""

    name: str
    aliases: tuple[str, ...]
    folder: str | None
    options: LoadOptions
    chunk_rule: ChunkRule
    named_by_catalog: bool
    recipe: PromptName | None
    examples: tuple[Example, ...]


class PlanForm(msgspec.Struct, frozen=True):
    """A service.plan.ServingPlan as plain data."""

    specs: tuple[SpecForm, ...]
    aliases: dict[str, str]
    cascades: dict[str, Cascade | None]
    floors: dict[str, float]


class Plan(Message, frozen=True):
    """Announce this and load what ships inside; or serve it instead of what is served."""

    id: int
    plan: PlanForm
    how: Literal["start", "swap"]


class Load(Message, frozen=True):
    """Load what the plan names and is not there yet."""

    id: int


class Check(Message, frozen=True):
    """Say whether every model scores."""

    id: int


class RankWork(Message, frozen=True):
    """A service.base.RerankCall."""

    id: int
    model: str
    requests: tuple[RerankRequest, ...]  # without their instructions
    instructions: tuple[str | None, ...]  # distinct ones
    instructed: tuple[int, ...]  # of each request: which one
    cascade: Cascade | None
    places: tuple[tuple[int, ...], ...]
    share: str
    until: float | None


class EmbedWork(Message, frozen=True):
    """A service.base.EmbedCall."""

    id: int
    model: str
    request: EmbedRequest
    share: str
    until: float | None


class Go(Message, frozen=True):
    """What was counted is paid for."""

    id: int


class Cancel(Message, frozen=True):
    """Nobody waits for it any more."""

    id: int


class Stop(Message, frozen=True):
    """Free everything and end."""


class Taken(Message, frozen=True):
    """A plan is served, or loaded."""

    id: int


class Verdicts(Message, frozen=True):
    """Per model: "ok", or what is wrong."""

    id: int
    models: dict[str, str]


class SpentSoFar(msgspec.Struct, frozen=True, array_like=True):
    """What a request took so far; see service.base.Trace."""

    engine: str
    cost: Cost
    own_s: float


class Passed(Message, frozen=True):
    """It waits for its images: it is no work for the processor now."""

    id: int


class CountedTokens(Message, frozen=True):
    """So many tokens more are to be charged, before they wait."""

    id: int
    tokens: int
    spent: SpentSoFar


class Ranked(Message, frozen=True):
    """The rankings of RankWork."""

    id: int
    rankings: tuple[Ranking, ...]
    spent: SpentSoFar


class EmbeddedTexts(Message, frozen=True):
    """The vectors of EmbedWork: N rows of d float32 numbers."""

    id: int
    model: str
    vectors: bytes
    dimensions: int
    input_tokens: int
    warnings: tuple[str, ...]
    spent: SpentSoFar


class Failed(Message, frozen=True):
    """There is no answer; spent is told of RankWork and EmbedWork."""

    id: int
    error: ErrorForm
    spent: SpentSoFar | None = None


class Standing(Message, frozen=True):
    """What the worker serves and how it does, at this moment."""

    facts: BackendFacts
    running: int  # requests
    lag_s: float  # of its event loop


class Fetched(Message, frozen=True):
    """How one fetch of an image or a video ended."""

    outcome: str
    size: int
    seconds: float


Asked = Plan | Load | Check | RankWork | EmbedWork  # what has an answer
Ended = Ranked | EmbeddedTexts | Taken | Verdicts | Failed  # that answer
ToWorker = Setup | Asked | Go | Cancel | Stop
ToServer = Ended | Passed | CountedTokens | Standing | Fetched


def _plain(value: object) -> str:
    if isinstance(value, Path):
        return str(value)
    raise NotImplementedError(type(value).__name__)


def _from_plain(kind: type, value: Any) -> Any:
    """Media is decoded by workers, so none is ever sent; nothing else is not plain."""
    raise NotImplementedError(kind.__name__)


encode: Final = msgspec.msgpack.Encoder(enc_hook=_plain).encode
decode_to_worker: Final = msgspec.msgpack.Decoder[ToWorker](ToWorker, dec_hook=_from_plain).decode
decode_to_server: Final = msgspec.msgpack.Decoder[ToServer](ToServer, dec_hook=_from_plain).decode
