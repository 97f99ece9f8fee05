"""From settings to a server that is checked and put together, before it loads or listens."""

from __future__ import annotations

from collections.abc import Callable

from rerankd.models.load import Loaded, Spec, load
from rerankd.service.plan import ServingPlan
from rerankd.settings.schema import Settings
from rerankd.telemetry.logs import configure_logging, log_refusal
from rerankd.web.assemble import gateway_of, make_state, plan_of
from rerankd.web.exposure import check_exposure
from rerankd.web.reload import unserved
from rerankd.web.state import State


def opened(
    settings: Settings, host: str, *, load: Callable[[Spec], Loaded] = load
) -> tuple[State, ServingPlan]:
    """The parts of a server and what it is to serve; nothing is loaded yet.

    Args:
        settings: the ones in force; logging is configured by them.
        host: where it will listen.
        load: opens and checks a model.

    Raises:
        StartError: settings are unusable, or others could reach a server that has no keys.
    """
    configure_logging(settings.server.log)
    if settings.store.url is None:  # with a store it is known when its keys are read
        _check_exposure(settings, host, has_stored=False)
    wanted = plan_of(settings)
    routes = gateway_of(settings, wanted)
    for sentence in unserved(
        settings.keys, {*(spec.name for spec in wanted.specs), *wanted.aliases, *routes.routes}
    ):
        log_refusal("a key names a model that nobody serves", sentence)
    for sentence in routes.warnings():
        log_refusal("a target of another space", sentence)
    state = make_state(settings, load=load)
    if settings.store.url is not None:
        _check_exposure(settings, host, has_stored=state.keys.has_stored)
    state.use_routes(routes)
    return state, wanted


def _check_exposure(settings: Settings, host: str, *, has_stored: bool) -> None:
    """Raises StartError."""
    for sentence in check_exposure(host, settings.keys, has_stored=has_stored):
        log_refusal("short keys", sentence)
