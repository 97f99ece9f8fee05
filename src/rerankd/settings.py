"""Every setting, written once: default, meaning and limits.

The flag, the environment variable, the TOML key, `rerankd config` and docs/configuration.md are
all made from the structs below. Later wins: default, TOML file, environment, flag.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, cast

import msgspec
from msgspec import Meta

from rerankd.core.errors import StartError
from rerankd.core.options import (
    VECTOR_CACHE_BYTES,
    EngineName,
    EngineOptions,
    LoadOptions,
    Precision,
    Quantization,
)

PositiveInt = Annotated[int, Meta(ge=1)]


class ServerSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where to listen and how to speak."""

    host: Annotated[str, Meta(description="Address to listen on. Not loopback: needs keys.")] = (
        "127.0.0.1"
    )
    port: Annotated[int, Meta(ge=0, le=65535, description="Port; 0 = any free one.")] = 8000
    cors_origins: Annotated[
        tuple[str, ...], Meta(description='Browser origins that may call, ["*"] for all.')
    ] = ()
    trusted_proxies: Annotated[
        tuple[str, ...],
        Meta(description="Addresses and networks whose X-Forwarded-For is believed; for the log."),
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
            "quarter of this at most; 0 = none.",
        ),
    ] = VECTOR_CACHE_BYTES
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
    key: Annotated[str | None, Meta(description="The key itself; or give its hash.")] = None
    sha256: Annotated[
        str | None, Meta(description="Hex SHA-256 of the key, instead of the key.")
    ] = None
    models: Annotated[
        tuple[str, ...] | None, Meta(description="Models that it may use; unset = all.")
    ] = None
    rpm: Annotated[PositiveInt | None, Meta(description="Requests per minute.")] = None
    tpm: Annotated[PositiveInt | None, Meta(description="Input tokens per minute.")] = None


class ModelSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Settings of one model."""

    window_tokens: Annotated[
        Annotated[int, Meta(ge=16)] | None,
        Meta(description="Longest row; unset = the model card's."),
    ] = None
    engine: Annotated[
        EngineName,
        Meta(description='What runs it: "openvino" on the CPU, or "torch" (rerankd[torch]).'),
    ] = "openvino"
    quantization: Annotated[
        Quantization | None,
        Meta(
            description='"int8" (BERT and XLM-R on OpenVINO): faster and less exact; measure it '
            "with `rerankd bench`."
        ),
    ] = None
    device: Annotated[
        str | None, Meta(description='torch only: "cpu", "cuda:1"; unset = a GPU if there is one.')
    ] = None
    precision: Annotated[
        Precision | None,
        Meta(description='torch only: "fp32", "bf16", "fp16"; unset = fp32, on a GPU bf16.'),
    ] = None
    streams: Annotated[
        PositiveInt | None,
        Meta(
            description="Encoders on the CPU: batches at once; unset = usable cores. "
            "Decoders run one."
        ),
    ] = None
    stages: Annotated[
        tuple[str, ...],
        Meta(
            description='["rerankd-lexical:200", "MODEL"]: MODEL scores the best 200 only; see '
            "below. NAME may be an alias."
        ),
    ] = ()

    def load_options(self) -> LoadOptions:
        """The same for the code that loads models."""
        engine = EngineOptions(
            engine=self.engine,
            quantization=self.quantization,
            device=self.device,
            precision=self.precision,
            streams=self.streams,
        )
        return LoadOptions(window_tokens=self.window_tokens, engine=engine)


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything that can be set."""

    server: ServerSettings = ServerSettings()
    limits: Limits = Limits()
    media: MediaSettings = MediaSettings()
    models: Annotated[
        tuple[str, ...],
        Meta(
            description="Catalog names or folders to serve, the first is the default; "
            "none = `rerankd-mini`."
        ),
    ] = ()
    aliases: Annotated[
        dict[str, str],
        Meta(description='Served name = model that answers; "*": every name that is not served.'),
    ] = {}
    keys: Annotated[tuple[KeySettings, ...], Meta(description="API keys; none = open.")] = ()
    model: Annotated[
        dict[str, ModelSettings], Meta(description="Settings of one model, by served name.")
    ] = {}


class Effective(msgspec.Struct, frozen=True):
    """The settings in force and where each value came from, by dotted name."""

    settings: Settings
    sources: dict[str, str] = {}
    file: Path | None = None
    file_has_settings: bool = False  # false for one that is empty, or only comments


_SECTIONS: dict[str, type[msgspec.Struct]] = {
    "server": ServerSettings,
    "limits": Limits,
    "media": MediaSettings,
}
_TOP_LEVEL = ("models", "aliases")
_LISTS = (
    "models",
    "cors_origins",
    "trusted_proxies",
    "allow",
    "ports",
)  # in a variable: separated by commas
_API_KEYS = "RERANKD_API_KEYS"
_HASHES_OF_NOTHING = [sha256(nothing).hexdigest() for nothing in (b"", b"\n")]
_STRUCTS = {"": Settings, **_SECTIONS, "keys": KeySettings, "model": ModelSettings}
_UNKNOWN = re.compile("Object contains unknown field `(.*)`")  # msgspec's sentence
_PREFIXES = tuple(f"RERANKD_{section.upper()}_" for section in _SECTIONS)


def variables() -> dict[str, tuple[str, ...]]:
    """Environment variable -> path of the setting it sets."""
    names: dict[str, tuple[str, ...]] = {
        "RERANKD_MODELS": ("models",),
        "RERANKD_ALIASES": ("aliases",),
    }
    for section, kind in _SECTIONS.items():
        for field in msgspec.structs.fields(kind):
            names[f"RERANKD_{section}_{field.name}".upper()] = (section, field.name)
    return names


def load(
    config: Path | None, env: Mapping[str, str], flags: Mapping[tuple[str, ...], Any]
) -> Effective:
    """Merge default, file, environment and flags.

    Args:
        config: the TOML file, or None.
        env: the process environment.
        flags: path of a setting -> value, for flags that were given.

    Raises:
        StartError: the file cannot be read or is not TOML, a name is unknown, a value is of the
            wrong type or out of range; the message names the file or variable and the setting.
    """
    merged: dict[str, Any] = {}
    sources: dict[str, str] = {}
    written = {} if config is None else _read_toml(config)
    _merge(merged, sources, written, str(config))
    known = variables()
    for name in env:
        if name.startswith(_PREFIXES) and name not in known:
            raise StartError(f"{name}: no such setting. `rerankd config` lists them.")
    for name, path in known.items():
        if name in env:
            _set(merged, sources, path, _from_text(path, env[name], name), name)
    if _API_KEYS in env:
        listed = [key.strip() for key in env[_API_KEYS].split(",") if key.strip()]
        if not listed:
            raise StartError(
                f"{_API_KEYS} is set, but holds no key. Unset it to run without keys, or give it "
                "some: key1,key2."
            )
        keys = [{"name": f"env-{n}", "key": key} for n, key in enumerate(listed, 1)]
        _set(merged, sources, ("keys",), [*merged.get("keys", []), *keys], _API_KEYS)
    for path, value in flags.items():
        known = merged.get("aliases", {}) if path == ("aliases",) else None
        _set(merged, sources, path, value if known is None else {**known, **value}, "flag")
    try:
        settings = msgspec.convert(merged, Settings)
    except msgspec.ValidationError as error:
        raise StartError(_explain(str(error), sources)) from None
    _check_keys(settings.keys)
    return Effective(settings, sources, config, bool(written))


def without_secrets(settings: Settings) -> Settings:
    """The same with keys that have names and limits only."""
    keys = (msgspec.structs.replace(key, key=None, sha256=None) for key in settings.keys)
    return msgspec.structs.replace(settings, keys=tuple(keys))


def dotted(settings: Settings) -> Iterator[tuple[str, object]]:
    """Every setting as (dotted name, value); keys are listed by name, never by value."""
    for section, kind in _SECTIONS.items():
        part = getattr(settings, section)
        for field in msgspec.structs.fields(kind):
            yield f"{section}.{field.name}", getattr(part, field.name)
    yield "models", list(settings.models)
    for served, model in settings.aliases.items():
        yield f"aliases.{served}", model
    for name, model in settings.model.items():
        yield f"model.{name}", msgspec.to_builtins(model)
    for key in settings.keys:
        shown = {k: v for k, v in msgspec.structs.asdict(key).items() if k not in ("key", "sha256")}
        yield f"keys.{key.name}", shown


class Documented(NamedTuple):
    """One setting, as the configuration page shows it."""

    section: str
    name: str
    default: str
    variable: str  # "" = only in the file
    meaning: str
    last: bool  # of its section


def reference() -> Iterator[Documented]:
    """Every setting with its default, variable and meaning, section by section."""
    by_path = {path: name for name, path in variables().items()}
    tables = {**_SECTIONS, "[[keys]]": KeySettings, '[model."NAME"]': ModelSettings}
    top = [field for field in msgspec.structs.fields(Settings) if field.name in _TOP_LEVEL]
    for section, fields in [
        ("top level", top),
        *((name, msgspec.structs.fields(kind)) for name, kind in tables.items()),
    ]:
        for position, field in enumerate(fields, 1):
            path = (section, field.name) if section in _SECTIONS else (field.name,)
            default = "required" if field.required else _shown(field.default)
            variable = by_path.get(path, "") if section in (*_SECTIONS, "top level") else ""
            meaning = _meaning(field.type)
            yield Documented(
                section, field.name, default, variable, meaning, position == len(fields)
            )


def _shown(default: object) -> str:
    if default is None or default is msgspec.NODEFAULT:  # the latter: made by a factory, empty
        return "unset"
    if isinstance(default, bool):
        return str(default).lower()  # as TOML and variables write it
    return str(list(default)) if isinstance(default, tuple) else str(default)  # pyright: ignore[reportUnknownArgumentType] - any tuple


def _meaning(kind: Any) -> str:
    for held in getattr(kind, "__metadata__", ()):
        if isinstance(held, Meta) and held.description:
            return held.description
    return ""


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise StartError(f"Cannot read {path}: {error.strerror or error}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise StartError(f"{path} is not TOML: {error}.") from None


def _merge(
    merged: dict[str, Any], sources: dict[str, str], values: Mapping[str, Any], source: str
) -> None:
    for name, value in values.items():
        if name in _SECTIONS and isinstance(value, dict):
            for inner, inner_value in cast("dict[str, Any]", value).items():
                _set(merged, sources, (name, inner), inner_value, source)
        else:
            _set(merged, sources, (name,), value, source)


def _set(
    merged: dict[str, Any], sources: dict[str, str], path: tuple[str, ...], value: object, src: str
) -> None:
    at = merged
    for part in path[:-1]:
        at = at.setdefault(part, {})
    at[path[-1]] = value
    sources[".".join(path)] = src


def _from_text(path: tuple[str, ...], text: str, variable: str) -> object:
    """A value from an environment variable, typed by the setting it is for."""
    if path == ("aliases",):
        return parse_aliases(part for part in text.split(",") if part.strip())
    kind: Any = Settings
    for part in path:
        kind = next(f.type for f in msgspec.structs.fields(kind) if f.name == part)
    value: object = text
    if path[-1] in _LISTS:
        value = [part.strip() for part in text.split(",") if part.strip()]
    try:
        return msgspec.to_builtins(msgspec.convert(value, kind, strict=False))
    except msgspec.ValidationError as error:
        raise StartError(f"{variable}={text!r}: {error}.") from None


def parse_aliases(pairs: Iterator[str] | list[str]) -> dict[str, str]:
    """SERVED=MODEL, as --alias and RERANKD_ALIASES write it.

    Raises:
        StartError: a pair without '=' or with an empty side.
    """
    aliases: dict[str, str] = {}
    for pair in pairs:
        served, found, model = pair.strip().partition("=")
        if not (found and served and model):
            raise StartError(
                f"--alias {pair!r}: write SERVED=MODEL, for example "
                "BAAI/bge-reranker-v2-m3=rerankd-lexical."
            )
        aliases[served] = model
    return aliases


def _explain(message: str, sources: Mapping[str, str]) -> str:
    """msgspec's message, with the setting's name first and the file or variable it came from."""
    text, _, where = message.rpartition(" - at `$")
    name = where.rstrip("`").lstrip(".") if text else ""
    unknown = _UNKNOWN.fullmatch(text or message)
    if unknown:
        known = _STRUCTS[name.split("[")[0]].__struct_fields__
        name = f"{name}.{unknown[1]}".lstrip(".")
        text = f"no such setting; there are {', '.join(known)}"
    parent = name.split("[")[0]
    source = sources.get(name) or sources.get(parent) or sources.get(parent.split(".")[0], "")
    return f"{name or 'settings'}: {text or message}" + (f" (from {source})." if source else ".")


def _check_keys(keys: tuple[KeySettings, ...]) -> None:
    names: set[str] = set()
    hashes: dict[str, str] = {}
    for key in keys:
        if key.name in names:
            raise StartError(f"keys: the name {key.name!r} is given twice.")
        names.add(key.name)
        if (key.key is None) == (key.sha256 is None):
            raise StartError(f"keys: {key.name!r} needs either key or sha256.")
        if key.key is not None and not key.key.strip():
            raise StartError(f"keys: {key.name!r} has an empty key.")
        if key.sha256 is not None and not _is_sha256(key.sha256):
            raise StartError(f"keys: sha256 of {key.name!r} is not 64 hexadecimal digits.")
        if key.sha256 is not None and key.sha256.lower() in _HASHES_OF_NOTHING:
            raise StartError(
                f"keys: sha256 of {key.name!r} is that of an empty key. Was the variable that was "
                "hashed empty?"
            )
        hashed = key.sha256 or sha256(str(key.key).strip().encode()).hexdigest()
        twin = hashes.setdefault(hashed.lower(), key.name)
        if twin != key.name:
            raise StartError(f"keys: {twin!r} and {key.name!r} are the same key.")


def _is_sha256(text: str) -> bool:
    return len(text) == 64 and all(c in "0123456789abcdefABCDEF" for c in text)
