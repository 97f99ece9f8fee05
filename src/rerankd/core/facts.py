"""What whoever serves models publishes of them: frozen, plain, good for another process."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct, field
from msgspec.structs import replace

from rerankd.core.names import Names
from rerankd.core.trial import PrecisionTrial

Task = Literal["rerank", "embed"]


# unloading: its last requests are answered; failed: the last try to load it while serving
ModelState = Literal["loading", "ready", "unloading", "unloaded", "failed"]


class MemoryChange(Struct, frozen=True):
    """Resident bytes of the process before and after a model was loaded or unloaded."""

    before_bytes: int
    after_bytes: int


class Memory(Struct, frozen=True, kw_only=True):
    """Of the process, and what the machine or its container can still give; None = not known."""

    resident_bytes: int | None = None
    available_bytes: int | None = None


class ModelFacts(Struct, frozen=True, kw_only=True):
    """One served name at one moment."""

    name: str
    root: str  # own name of the model that answers: differs from name for an alias
    state: ModelState = "loading"  # what follows is known once it was ready
    is_awaited: bool = True  # while it loads the server is not ready; not when it is loaded later
    problem: str = ""  # why it failed, for operators
    memory: MemoryChange | None = None  # of its last load or unload while serving
    window_tokens: int | None = None  # longest row; None = no limit
    modalities: tuple[str, ...] = ()  # sorted
    tasks: tuple[Task, ...] = ()  # what it may be asked to do
    dimensions: int | None = None  # of its vectors; None = it does not embed
    engine: str = ""  # "openvino", "lexical"
    device: str = ""  # "cpu", "cuda:0"
    precision: str = ""  # "fp32", "int8"
    precision_trials: tuple[PrecisionTrial, ...] = ()  # of precision = "auto"
    space: str = ""  # scores of one space may be compared
    floor: float | None = None  # relevance_score that the operator keeps from; filters nothing
    warnings: tuple[str, ...] = ()  # of loading it
    waiting_tokens: int = 0  # of admitted requests
    backlog_s: float = 0.0  # that all waiting work will take
    tokens_per_s: float = 0.0  # measured while there was work; 0 = not known yet
    cache_bytes: int | None = None  # of its score cache; None = it has none


class UpstreamFacts(Struct, frozen=True, kw_only=True):
    """How one upstream does at one moment."""

    name: str
    dialect: str
    state: Literal["closed", "open", "probing", "off"]  # of its breaker; off: no key is good
    wait_s: float = 0.0  # until it is asked again
    in_flight: int = 0
    keys: int = 0  # that are good; 1 for one that needs none
    keys_resting: int = 0
    keys_refused: int = 0
    unknown_models: tuple[str, ...] = ()  # that it said it does not have


class WorkerFacts(Struct, frozen=True, kw_only=True):
    """How one worker does at one moment."""

    number: int
    state: Literal["starting", "running", "silent", "ended"]
    pid: int | None = None  # None = there is no process now
    models: tuple[str, ...] = ()  # that are loaded there
    cores: tuple[int, ...] = ()  # that it is kept on; () = the system chooses
    running: int = 0  # requests that were sent there and are not answered
    waiting_tokens: int = 0  # of admitted requests
    work_s: float = 0.0  # that its requests will take, about
    lag_s: float = 0.0  # of its event loop
    answered: int = 0  # requests, ever
    restarts: int = 0
    reruns: int = 0  # requests that ran again elsewhere because it had ended


class BackendFacts(Struct, frozen=True, kw_only=True):
    """All that one backend serves."""

    models: tuple[ModelFacts, ...]  # by their own names, default first
    names: Names
    request_tokens: int  # most tokens of a request
    queue_tokens: int  # most tokens that wait
    tokenizers: int  # threads that tokenise
    # Bytes of images and videos in memory, by form: "encoded", "decoded".
    media_bytes: Mapping[str, int] = field(default_factory=dict[str, int])
    memory: Memory = field(default_factory=Memory)
    workers: tuple[WorkerFacts, ...] = ()  # none: this process scores itself

    @property
    def is_ready(self) -> bool:
        """Whether every model is loaded but those that an operator unloaded, or loads just now."""
        return bool(self.models) and not any(
            model.state != "ready" and model.is_awaited for model in self.models
        )

    @property
    def ready(self) -> tuple[ModelFacts, ...]:
        """The models that are loaded."""
        return tuple(model for model in self.models if model.state == "ready")

    def shown(self) -> tuple[ModelFacts, ...]:
        """One for every name that a list shows: the models, default first, then the aliases.

        Those of models that are not loaded, nor are going to be, are left out.
        """
        by_root = {
            model.name: model for model in self.models if model.state in ("ready", "loading")
        }
        return tuple(
            replace(by_root[root], name=name)
            for name, root in self.names.shown().items()
            if root in by_root
        )
