"""Every setting, written once: name, type, default, meaning, limits, and its flag if it has one.

The flag, the environment variable, the TOML key, `rerankd config` and docs/configuration.md are
made from the structs below, and who reads a setting is handed the struct: a new one is a line here
and its reader. Those of one model that its loader reads are inherited from `core.options`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from rerankd.core.options import VECTOR_CACHE_BYTES, LoadOptions, PositiveInt
from rerankd.settings.schema_accounts import (
    AdminSettings,
    AlertSettings,
    OidcSettings,
    StoreSettings,
)
from rerankd.settings.schema_graphs import GraphSettings
from rerankd.settings.schema_prices import CostSettings, PriceSettings
from rerankd.settings.schema_traces import TraceSettings


@dataclass(frozen=True, slots=True)
class Flag:
    """Beside a setting's type: a flag of `rerankd serve` sets it, too."""

    name: str
    help: str  # {default} stands for the setting's


@dataclass(frozen=True, slots=True)
class Secret:
    """Beside a setting's type: never shown."""


SECRET: Final = Secret()
_DAY_S: Final = 86_400.0

WorkerCount = Annotated[int, Meta(ge=0, le=64)] | Literal["auto"]


class ServerSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where to listen and how to speak."""

    host: Annotated[
        str,
        Meta(description="Address to listen on. Not loopback: needs keys."),
        Flag("--host", "Address to listen on, default {default}. Other machines: needs API keys."),
    ] = "127.0.0.1"
    port: Annotated[
        int,
        Meta(ge=0, le=65535, description="Port; 0 = any free one."),
        Flag("--port", "Port, default {default}; 0 = any free one."),
    ] = 8000
    workers: Annotated[
        WorkerCount,
        Meta(
            description="Processes that score, behind this one; 0 = this one scores itself; "
            '"auto": by the number of cores. See workers.md.'
        ),
        Flag(
            "--workers",
            "Processes that score, behind one that listens; 0 = one process does both; auto = by "
            "the number of cores. Default {default}.",
        ),
    ] = 0
    cors_origins: Annotated[
        tuple[str, ...], Meta(description='Browser origins that may call, ["*"] for all.')
    ] = ()
    trusted_proxies: Annotated[
        tuple[str, ...],
        Meta(
            description="Addresses and networks whose X-Forwarded-For is believed: for the "
            "log and the networks of keys."
        ),
    ] = ()
    contact: Annotated[
        str | None, Meta(description="Whom to ask for more; named in rate limit errors.")
    ] = None
    return_documents: Annotated[
        bool | None,
        Meta(description="Echo documents when a request does not say. Unset: by model name."),
    ] = None
    docs_need_key: Annotated[
        bool,
        Meta(
            description="/docs and /openapi.json ask for a key when there are keys; else whoever "
            "may read /health may read them."
        ),
    ] = False
    log: Annotated[
        Literal["auto", "json", "console"],
        Meta(description="Log format on stderr; auto = console on a terminal, else JSON."),
    ] = "auto"


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one request and one server may use."""

    body_bytes: Annotated[int, Meta(ge=1, description="Request body, unpacked. Above: 413.")] = (
        33_554_432
    )
    body_s: Annotated[
        float, Meta(gt=0, description="Time for headers, then for the body, to arrive.")
    ] = 60.0
    inflight_bytes: Annotated[
        int,
        Meta(ge=1, description="Bodies and answers of all requests in progress. Above: 503."),
    ] = 268_435_456
    write_s: Annotated[
        float, Meta(gt=0, description="A client that reads nothing of its answer so long is cut.")
    ] = 30.0
    json_values: Annotated[
        int, Meta(ge=1, description="Keys and values of a body's JSON. Above: 400.")
    ] = 500_000
    documents: Annotated[int, Meta(ge=1, description="Documents, or pairs, per request.")] = 1000
    document_bytes: Annotated[
        int, Meta(ge=1, description="One text document, in UTF-8 bytes; images: see media.")
    ] = 4_194_304
    query_bytes: Annotated[int, Meta(ge=1, description="The query, in UTF-8 bytes.")] = 131_072
    request_tokens: Annotated[
        int, Meta(ge=1, description="Tokens of all pairs of one request. Above: 400.")
    ] = 4_194_304
    queue_tokens: Annotated[
        int, Meta(ge=1, description="Tokens that may wait per model. Above: 503.")
    ] = 16_777_216
    wait_s: Annotated[
        float,
        Meta(gt=0, description="Waiting for the work ahead of a request. Above: 503; see below."),
    ] = 10.0
    score_cache_bytes: Annotated[
        int, Meta(ge=0, description="Scores kept per model for equal pairs to come; 0 = none.")
    ] = 0
    vector_cache_bytes: Annotated[
        int,
        Meta(
            ge=0,
            description="Vectors of documents that `rerankd-mini` keeps, of one long document a "
            "quarter of this at most; `rerankd-multi` half as much more again for its second "
            "encoder; 0 = none.",
        ),
    ] = VECTOR_CACHE_BYTES
    wrong_keys: Annotated[
        int,
        Meta(ge=1, description="Unknown keys per minute and network. More of them: 429, not 401."),
    ] = 20
    share_caches: Annotated[
        bool, Meta(description="One key's texts may be remembered for another. See Keys, below.")
    ] = False
    deadline_s: Annotated[
        float, Meta(gt=0, description="Time for one request after its body came. Above: 504.")
    ] = 300.0
    drain_s: Annotated[
        float, Meta(ge=0, description="Time for running requests to end after SIGTERM.")
    ] = 30.0


class MediaSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Images and videos: what is fetched, how much is decoded."""

    fetch: Annotated[
        bool, Meta(description="Fetch the URLs of images and videos. false: data URIs and base64.")
    ] = True
    allow: Annotated[
        tuple[str, ...],
        Meta(
            description="When set, only these are fetched from: host, host:port, address or "
            "network. A private address needs an entry that covers it."
        ),
    ] = ()
    ports: Annotated[
        tuple[Annotated[int, Meta(ge=1, le=65535)], ...],
        Meta(description="Ports that a URL may name, beside those of media.allow."),
    ] = (80, 443)
    items: Annotated[int, Meta(ge=1, description="Images and videos of one request.")] = 200
    image_bytes: Annotated[int, Meta(ge=1, description="One image, encoded.")] = 20_971_520
    video_bytes: Annotated[int, Meta(ge=1, description="One video, encoded.")] = 67_108_864
    request_bytes: Annotated[
        int, Meta(ge=1, description="All images and videos of one request, encoded.")
    ] = 134_217_728
    image_pixels: Annotated[int, Meta(ge=1, description="Width × height of an image.")] = 25_165_824
    frame_pixels: Annotated[
        int, Meta(ge=1, description="Width × height of a video; 1080p has 2,073,600.")
    ] = 2_097_152
    video_frames: Annotated[int, Meta(ge=1, description="Frames of a video.")] = 20_000
    video_s: Annotated[float, Meta(gt=0, description="Length of a video.")] = 600.0
    decode_s: Annotated[float, Meta(gt=0, description="Time to decode one video.")] = 20.0
    decoders: Annotated[
        int, Meta(ge=1, description="Images decoded at once; as many videos beside them.")
    ] = 2
    redirects: Annotated[int, Meta(ge=0, description="Redirects that are followed.")] = 3
    fetches: Annotated[int, Meta(ge=1, description="Fetches at once.")] = 32
    fetches_per_host: Annotated[int, Meta(ge=1, description="Of them from one host.")] = 8
    connect_s: Annotated[
        float, Meta(gt=0, description="Time to resolve a host, and to connect to an address.")
    ] = 5.0
    read_s: Annotated[float, Meta(gt=0, description="Time without a byte.")] = 5.0
    fetch_s: Annotated[float, Meta(gt=0, description="Time for one URL, redirects included.")] = (
        20.0
    )
    encoded_bytes: Annotated[
        int, Meta(ge=1, description="Encoded bytes of all requests. Above: 503.")
    ] = 536_870_912
    decoded_bytes: Annotated[
        int,
        Meta(
            ge=1,
            description="Decoded pixels of all requests; more wait, then 503. One request: 400.",
        ),
    ] = 1_073_741_824
    wait_s: Annotated[
        float, Meta(ge=0, description="How long a request waits for room in decoded_bytes.")
    ] = 30.0


class KeySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One API key."""

    name: Annotated[str, Meta(min_length=1, description="Shown in logs and metrics.")]
    key: Annotated[str | None, Meta(description="The key itself; or give its hash."), SECRET] = None
    sha256: Annotated[
        str | None, Meta(description="Hex SHA-256 of the key, instead of the key."), SECRET
    ] = None
    models: Annotated[
        tuple[str, ...] | None, Meta(description="Models that it may use; unset = all.")
    ] = None
    rpm: Annotated[PositiveInt | None, Meta(description="Requests per minute.")] = None
    tpm: Annotated[PositiveInt | None, Meta(description="Input tokens per minute.")] = None

    @property
    def label(self) -> str:
        """As `rerankd config` names it."""
        return self.name


class ModelSettings(LoadOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of one model."""

    stages: Annotated[
        tuple[str, ...],
        Meta(
            description='["rerankd-lexical:200", "MODEL"]: MODEL scores the best 200 only; see '
            "below. NAME may be an alias."
        ),
    ] = ()
    floor: Annotated[
        float | None,
        Meta(
            description="The relevance_score from which on documents are worth keeping, as "
            "`rerankd calibrate` finds it. Told in /v1/models; no answer is filtered by it."
        ),
    ] = None

    def load_options(self) -> LoadOptions:
        """The part that the code that loads models reads."""
        return LoadOptions(**{name: getattr(self, name) for name in LoadOptions.__struct_fields__})


class UpstreamSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One provider, or a server of one's own, that requests are sent on to."""

    dialect: Annotated[
        str, Meta(description="How it is spoken to; `rerankd upstream dialects` lists them.")
    ]
    url: Annotated[
        str, Meta(description="Its base URL, as its SDK takes it, with or without /v1 at its end.")
    ]
    key_env: Annotated[
        str | tuple[str, ...] | None,
        Meta(description="Variable, or several, with its key; several keys are used in turn."),
    ] = None
    key_file: Annotated[
        str | None,
        Meta(description="File with its keys, one per line, which others may not read."),
    ] = None
    timeout_s: Annotated[float, Meta(gt=0, le=_DAY_S, description="Time for one answer.")] = 30.0
    connect_s: Annotated[float, Meta(gt=0, le=_DAY_S, description="Of it, to connect.")] = 3.0
    in_flight: Annotated[int, Meta(ge=1, description="Requests to it at once.")] = 32
    rpm: Annotated[PositiveInt | None, Meta(description="Requests per minute to it.")] = None
    tpm: Annotated[
        PositiveInt | None, Meta(description="Input tokens per minute to it, estimated before.")
    ] = None
    answer_bytes: Annotated[int, Meta(ge=1, description="One answer of it.")] = 33_554_432
    allow: Annotated[
        tuple[str, ...],
        Meta(
            description="Hosts, addresses and networks on a private network that it may be at. "
            "Loopback needs none when `url` names it."
        ),
    ] = ()
    insecure: Annotated[
        bool, Meta(description="http:// to another machine: key and texts are readable on the way.")
    ] = False


class TargetSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who may answer for a routed name: `model` here, or `name` at an upstream."""

    model: str | None = None
    upstream: str | None = None
    name: str | None = None  # at the upstream; None = as the route
    first: str | None = None  # a stage before it, as "rerankd-lexical:200"
    space: str | None = None
    weight: Annotated[int, Meta(ge=1)] = 1


class ShadowSettings(TargetSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who is asked the same for comparison, beside the answer."""

    share: Annotated[float, Meta(gt=0, le=1)] = 0.01


class RouteSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who answers for one name."""

    to: Annotated[
        tuple[TargetSettings, ...],
        Meta(
            min_length=1,
            description='Targets: { model = "NAME" } of this server, or { upstream = "NAME", name '
            '= "MODEL" }; more keys: see below.',
        ),
    ]
    order: Annotated[
        Literal["first", "weighted", "fastest", "cheapest"],
        Meta(
            description="Who is asked first: as listed, by lot, who was fastest of late, or who "
            "costs least by `[[cost]]`."
        ),
    ] = "first"
    attempts: Annotated[int, Meta(ge=1, description="Targets asked, at most.")] = 2
    spaces: Annotated[
        Literal["same", "any"],
        Meta(description="same: only targets whose scores compare to the first one's. any: all."),
    ] = "same"
    on_loss: Annotated[
        Literal["skip", "refuse", "warn"],
        Meta(description="A target that has no place for a field that changes scores."),
    ] = "skip"
    when_all_fail: Annotated[
        Literal["error", "rerankd-lexical", "input-order"],
        Meta(description="Instead of an error: an answer that is marked as degraded."),
    ] = "error"
    retry_budget: Annotated[
        float, Meta(ge=0, description="Second attempts, of the last 10 s' requests.")
    ] = 0.1
    hedge_after_s: Annotated[
        float,
        Meta(ge=0, le=_DAY_S, description="Ask the next one as well after so long; 0 = never."),
    ] = 0.0
    shadow: Annotated[
        ShadowSettings | None,
        Meta(description="A target that is asked as well, for `share` of the requests: /metrics."),
    ] = None


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything that can be set."""

    server: ServerSettings = ServerSettings()
    limits: Limits = Limits()
    media: MediaSettings = MediaSettings()
    store: StoreSettings = StoreSettings()
    admin: AdminSettings = AdminSettings()
    oidc: OidcSettings = OidcSettings()
    alerts: AlertSettings = AlertSettings()
    graphs: GraphSettings = GraphSettings()
    traces: TraceSettings = TraceSettings()
    models: Annotated[
        tuple[str, ...],
        Meta(
            description="Catalog names or folders to serve, the first is the default; "
            "none = `rerankd-multi` where it is installed, else `rerankd-mini`."
        ),
        Flag(
            "--model",
            "Catalog name, checkpoint folder, or NAME=FOLDER to serve a folder under another name; "
            "with settings if need be: NAME,precision=int8. "
            "Repeatable, the first is the default model.",
        ),
    ] = ()
    aliases: Annotated[
        dict[str, str],
        Meta(description='Served name = model that answers; "*": every name that is not served.'),
        Flag("--alias", "SERVED=MODEL: answer for another name; repeatable."),
    ] = {}
    keys: Annotated[tuple[KeySettings, ...], Meta(description="API keys; none = open.")] = ()
    model: Annotated[
        dict[str, ModelSettings], Meta(description="Settings of one model, by served name.")
    ] = {}
    upstream: Annotated[
        dict[str, UpstreamSettings], Meta(description="Who else can be asked, by a name for it.")
    ] = {}
    route: Annotated[
        dict[str, RouteSettings], Meta(description="Who answers for a name, in which order.")
    ] = {}
    price: Annotated[
        tuple[PriceSettings, ...], Meta(description="What callers pay; needs [store].")
    ] = ()
    cost: Annotated[tuple[CostSettings, ...], Meta(description="What upstreams take.")] = ()
