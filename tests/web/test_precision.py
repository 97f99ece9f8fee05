"""A model's precision as others see it: lists, metrics, score space, routes, reload."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from structlog.testing import capture_logs

from rerankd.core.errors import StartError
from rerankd.core.options import LoadOptions, PrecisionSetting
from rerankd.models import auto_precision
from rerankd.service.plan import ServingPlan, plan
from rerankd.web.app import create_app
from rerankd.web.assemble import gateway_of, make_state
from rerankd.web.state import State
from tests.checkpoints.bert import TINY_BERT, write
from tests.kit.support import settings

BODY = {"query": "a", "documents": ["a b", "c"]}
ROUTE = {"any": {"to": [{"model": "exact"}, {"model": "auto"}], "spaces": "any"}}


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """What agrees is taken, whatever the clock says of models so small."""
    monkeypatch.setattr(auto_precision, "GAIN", 0.0)
    monkeypatch.setattr(auto_precision, "SPEARMAN", 0.8)
    monkeypatch.setattr(auto_precision, "TOP_OVERLAP", 0.5)
    monkeypatch.setattr(auto_precision, "DIFFERENCE", 2.0)
    monkeypatch.setattr(auto_precision, "CANDIDATES", ("int8",))


def planned(folder: Path, **precisions: PrecisionSetting) -> ServingPlan:
    """One folder, served under several names, each in its precision."""
    options = {
        f"{name}={folder}": LoadOptions(precision=precision, streams=1)
        for name, precision in precisions.items()
    }
    return plan(tuple(options), {}, options)


@contextlib.asynccontextmanager
async def served(wanted: ServingPlan) -> AsyncGenerator[tuple[httpx2.AsyncClient, State]]:
    made = settings(route=ROUTE)
    state = make_state(made)
    state.use_routes(gateway_of(made, wanted))
    app: Any = create_app(state, wanted)
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    async with (
        app.app.router.lifespan_context(app.app),
        httpx2.AsyncClient(transport=transport, base_url="http://test") as client,
    ):
        await state.backend.load()
        yield client, state


async def listed(client: httpx2.AsyncClient) -> dict[str, Any]:
    return {each["id"]: each for each in (await client.get("/v1/models")).json()["data"]}


async def test_what_auto_took_is_in_the_list_the_metrics_and_the_log(tmp_path: Path) -> None:
    with capture_logs() as events:
        async with served(planned(write(tmp_path, TINY_BERT), exact="fp32", auto="auto")) as (
            client,
            _,
        ):
            models = await listed(client)
            metrics = (await client.get("/metrics")).text
    assert (models["exact"]["precision"], models["exact"]["precision_trials"]) == ("fp32", [])
    assert models["auto"]["precision"] == "int8"
    fp32, int8 = models["auto"]["precision_trials"]
    assert (fp32["precision"], fp32["taken"], fp32["speed"]) == ("fp32", False, 1.0)
    assert (int8["precision"], int8["taken"], int8["pairs"]) == ("int8", True, fp32["pairs"])
    assert 0.8 <= int8["spearman"] <= 1.0
    assert int8["max_difference"] > 0.0
    assert 'device="cpu",engine="openvino",model="auto",precision="int8",space="auto@' in metrics
    assert 'precision="fp32",space="exact@' in metrics
    [chosen] = [event for event in events if event["event"] == "precision chosen"]
    assert chosen["model"] == "auto"
    assert chosen["tried"][0].startswith("auto: int8 taken: ")


async def test_a_precision_is_a_space_of_its_own(tmp_path: Path) -> None:
    """A caller insists on one scale and gets that, or a 503 that lists those there are."""
    async with served(planned(write(tmp_path, TINY_BERT), exact="fp32", auto="auto")) as (
        client,
        state,
    ):
        exact, rough = state.backend.space("exact"), state.backend.space("auto")
        wishes = {space: {"x-rerankd-space": space} for space in (exact, rough, "auto", "x/bf16")}
        found = {
            space: await client.post("/v1/rerank", json={"model": "any"} | BODY, headers=wish)
            for space, wish in wishes.items()
        }
        alone = await client.post(
            "/v1/rerank", json={"model": "auto"} | BODY, headers=wishes[exact]
        )
    assert exact.endswith("/fp32")
    assert rough.endswith("/int8")
    assert [found[s].headers["x-rerankd-space"] for s in (exact, rough, "auto")] == [
        exact,
        rough,
        rough,
    ]
    assert found["x/bf16"].status_code == alone.status_code == 503
    assert exact in found["x/bf16"].text


async def test_a_route_stays_in_the_precision_of_its_first_target(tmp_path: Path) -> None:
    wanted = planned(write(tmp_path, TINY_BERT), exact="fp32", auto="auto")
    async with served(wanted) as (_, state):
        same = settings(route={"any": ROUTE["any"] | {"spaces": "same"}})
        warnings = gateway_of(same, wanted).warnings()
        state.use_routes(gateway_of(same, wanted))
    assert any("answers in space 'auto', not in 'exact'" in each for each in warnings)


async def test_a_reload_keeps_what_auto_took_and_follows_what_is_written(tmp_path: Path) -> None:
    folder = write(tmp_path, TINY_BERT)
    wanted = planned(folder, exact="fp32", auto="auto")
    with capture_logs() as events:
        async with served(wanted) as (client, state):
            await state.backend.swap(planned(folder, exact="int8", auto="auto"))
            models = await listed(client)
            metrics = (await client.get("/metrics")).text
            with pytest.raises(StartError, match=r'"fp16" is not for bert'):
                await state.backend.swap(planned(folder, exact="fp16", auto="auto"))
            kept = await listed(client)
    assert (models["exact"]["precision"], models["auto"]["precision"]) == ("int8", "int8")
    assert kept == models
    assert 'precision="fp32"' not in metrics
    assert len([event for event in events if event["event"] == "precision chosen"]) == 1
