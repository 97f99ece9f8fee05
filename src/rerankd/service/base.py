"""What stands behind the router: whoever ranks, in this process or in another."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from rerankd.accounts.account import Account
from rerankd.core.answer import Ranking, RouteFacts
from rerankd.core.cascade import Cascade
from rerankd.core.cost import NOTHING, Cost
from rerankd.core.embedding import Embedded, EmbedRequest
from rerankd.core.facts import BackendFacts
from rerankd.core.names import Names
from rerankd.core.request import RerankRequest
from rerankd.service.plan import ServingPlan


@dataclass(slots=True, kw_only=True)
class Trace:
    """What is known of a request so far: filled on the way, read by the log and the metrics."""

    at_us: int = 0  # when it came, microseconds UTC
    account: Account | None = None  # where there is a ledger
    asked: str = ""  # the model's name in the request
    model: str = ""  # who answers
    engine: str = ""  # which scores for it
    cost: Cost = NOTHING
    own_s: float = 0.0  # about how long its rows take when nothing else runs
    until: float | None = None  # its deadline, on time.monotonic()
    stood_in: bool = False  # nobody serves the name asked for, the alias `*` answered
    route: RouteFacts | None = None  # who answered, for a routed name
    attempts: tuple[str, ...] = ()  # of a routed name, that failed: who, how, after how long
    passed: Callable[[], None] = lambda: None  # called when it is queued, or waits for its images


async def free_of_charge(_: int) -> None:
    """For whoever counts no tokens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RerankCall:
    """The requests of one body, for one model: ranked together, admitted together."""

    requests: Sequence[RerankRequest]  # at least one
    model: str  # who answers, by its own name
    cascade: Cascade | None = None  # what stands before it
    # places[i][j] = how the body counts requests[i].documents[j]; () = as it is
    places: Sequence[Sequence[int]] = ()
    share: str = ""  # whose share of the queue it uses
    # Told of tokens when they are counted and before they wait, stage by stage; it may refuse.
    charge: Callable[[int], Awaitable[None]] = free_of_charge
    trace: Trace = field(default_factory=Trace)


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbedCall:
    """The texts of one body, for one model: admitted together."""

    request: EmbedRequest
    model: str  # who answers, by its own name
    share: str = ""  # whose share of the queue it uses
    # Told of tokens when they are counted and before they wait; it may refuse.
    charge: Callable[[int], Awaitable[None]] = free_of_charge
    trace: Trace = field(default_factory=Trace)


NOT_LOADED: Final = "not loaded"  # of a model that an operator unloaded: nothing is wrong


@dataclass(frozen=True, slots=True)
class HealthVerdict:
    """Per model: "ok", NOT_LOADED, or what is wrong."""

    models: dict[str, str]

    @property
    def ok(self) -> bool:
        """Whether every model scored that is to be there."""
        return bool(self.models) and all(
            state in ("ok", NOT_LOADED) for state in self.models.values()
        )

    @property
    def ills(self) -> str:
        """What a restart may mend, model by model; "" = nothing. What loads, or is off, is well."""
        fine = ("ok", "loading", NOT_LOADED)
        return "; ".join(f"{m}: {state}" for m, state in self.models.items() if state not in fine)


class Backend(Protocol):
    """Serves the models of a plan.

    Both kinds of work have the same rules: admitted whole, charged before it waits, cancelled with
    whoever awaits it.
    """

    @property
    def names(self) -> Names:
        """Who answers what; cheap, asked for every request."""
        ...

    def facts(self) -> BackendFacts:
        """What is served, and how it does."""
        ...

    async def rerank(self, call: RerankCall) -> Sequence[Ranking]:
        """The rankings of call.requests. Cancelling it ends all work that is done for it.

        Raises:
            InvalidRequest, Overloaded, DeadlineExceeded, EngineFailed; whatever call.charge raises.
        """
        ...

    async def embed(self, call: EmbedCall) -> Embedded:
        """The vectors of call.request, as `rerank`.

        Raises:
            InvalidRequest, Overloaded, DeadlineExceeded, EngineFailed; whatever call.charge raises.
        """
        ...

    def dimensions(self, model: str) -> int | None:
        """How many numbers a model's vectors have; None = it does not embed, or is not loaded."""
        ...

    def space(self, model: str) -> str:
        """The score space of a model, by its own name; the name itself until it is loaded."""
        ...

    def is_off(self, model: str) -> bool:
        """Whether a model is neither loaded nor going to be; cheap, asked for routed requests."""
        ...

    async def check(self) -> HealthVerdict:
        """Whether every model scores; at once, from what is known."""
        ...

    async def start(self, wanted: ServingPlan) -> None:
        """Announce a plan and load what ships inside; load() brings the rest. Raises StartError."""
        ...

    async def load(self) -> None:
        """Load what the plan names and is not there yet. Raises StartError."""
        ...

    async def swap(self, wanted: ServingPlan) -> None:
        """Serve another plan from here on; what is gone is freed when its requests are answered.

        What was loaded or unloaded at run time is as the plan says again.

        Raises:
            StartError: a new model cannot be loaded; what was served stays.
        """
        ...

    async def load_model(self, name: str, *, force: bool = False) -> None:
        """Load a model beside the rest: of the plan, or of the catalog and on this machine.

        Back when it serves, at once if it does. One that is being loaded is waited for, and who
        stops waiting does not stop it.

        Args:
            name: its own, or an alias.
            force: also where there seems to be no room for it.

        Raises:
            ChangeRefused: nothing was begun.
            StartError: it cannot be loaded; facts() says so, and the rest is served as before.
        """
        ...

    async def unload_model(self, name: str) -> None:
        """Refuse requests for a model from here on (ModelNotLoaded); those that run are answered.

        Back when its memory is free, at once if it is not loaded.

        Args:
            name: its own, or an alias.

        Raises:
            ChangeRefused: nothing was begun.
        """
        ...

    async def close(self) -> None:
        """Free everything."""
        ...
