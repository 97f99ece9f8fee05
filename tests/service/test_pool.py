"""Which model answers which name, and what a plan that cannot work says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from rerankd.core.cascade import Cascade
from rerankd.core.errors import Overloaded, StartError, UnknownModel
from rerankd.core.options import LoadOptions
from rerankd.gateway.routes import answering
from rerankd.models.load import Loaded, Spec
from rerankd.service.plan import ServingPlan, plan
from rerankd.service.pool import Pool
from rerankd.settings.schema import Limits
from tests.kit.support import BytesModel


def loaded(spec: Spec) -> Loaded:
    return Loaded(model=BytesModel(spec.name), warnings=())


def pool_of() -> Pool:
    return Pool(Limits(request_tokens=1000, queue_tokens=4000), load=loaded)


def spec(name: str, folder: str | None = None, *aliases: str) -> Spec:
    return Spec(name=name, folder=Path(folder) if folder else None, aliases=aliases)


def test_without_models_the_default_is_served() -> None:
    made = plan((), {}, {})
    assert [s.name for s in made.specs] == ["rerankd-multi", "rerankd-mini", "rerankd-lexical"]


def test_without_its_package_the_smaller_model_is_the_default_and_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("rerankd.models.catalog.DEFAULT", "rerankd-mini")
    assert [s.name for s in plan((), {}, {}).specs] == ["rerankd-mini"]


def test_a_folder_is_served_under_its_name(tmp_path: Path) -> None:
    folder = tmp_path / "my-reranker"
    folder.mkdir()
    made = plan(
        (str(folder), "rerankd-lexical"),
        {"a": "my-reranker"},
        {str(folder): LoadOptions(window_tokens=77)},
    )
    assert [s.name for s in made.specs] == ["my-reranker", "rerankd-lexical"]
    assert made.specs[0].options.window_tokens == 77
    assert made.aliases == {"a": "my-reranker"}


def test_an_alias_may_carry_a_catalog_name_and_brings_what_ships_inside(tmp_path: Path) -> None:
    made = plan((str(tmp_path),), {"BAAI/bge-reranker-v2-m3": "rerankd-lexical"}, {})
    assert [s.name for s in made.specs] == [tmp_path.name, "rerankd-lexical"]
    assert made.aliases == {"BAAI/bge-reranker-v2-m3": "rerankd-lexical"}


@pytest.mark.parametrize(
    ("models", "aliases", "says"),
    [
        (("/no/such/folder",), {}, "no such folder"),
        (("nonsense",), {}, "rerankd models"),
        (("BAAI/bge-reranker-base",), {}, "rerankd pull BAAI/bge-reranker-base"),
        (("someone/some-model",), {}, "rerankd pull someone/some-model"),
        (("Qwen/Qwen3-VL-Reranker-8B",), {}, "rerankd pull Qwen/Qwen3-VL-Reranker-8B"),
        ((), {"a": "b"}, "--alias a=b: b is not served"),
        ((), {"rerankd-mini": "rerankd-mini"}, "served already"),
    ],
    ids=str,
)
def test_a_plan_that_cannot_work_says_what_to_do(
    models: tuple[str, ...],
    aliases: dict[str, str],
    says: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(StartError, match=says):
        plan(models, aliases, {})


def test_two_folders_of_one_name_clash(tmp_path: Path) -> None:
    for parent in ("a", "b"):
        (tmp_path / parent / "same").mkdir(parents=True)
    one, other = (str(tmp_path / parent / "same") for parent in ("a", "b"))
    with pytest.raises(StartError, match="served already") as caught:
        plan((one, other), {}, {})
    way_out = str(caught.value).rpartition("--model ")[2]
    assert way_out == f"NAME={other}"
    made = plan((one, way_out), {}, {})
    assert [spec.name for spec in made.specs] == ["same", "NAME"]


async def test_what_ships_inside_is_loaded_at_once_and_checkpoints_behind() -> None:
    pool = pool_of()
    await pool.start(
        ServingPlan(specs=(spec("inside"), spec("folder", "/x")), aliases={"a": "folder"})
    )
    assert list(pool.loaded) == ["inside"]
    assert answering(pool.names, "a") == "folder"
    with pytest.raises(Overloaded, match="still loading"):
        pool.get("folder")
    await pool.load()
    assert list(pool.loaded) == ["inside", "folder"]
    assert pool.get("folder").model.card.name == "folder"
    await pool.close()


async def test_the_default_answers_without_a_name_and_an_unknown_name_is_refused() -> None:
    pool = pool_of()
    await pool.start(ServingPlan(specs=(spec("first"), spec("second")), aliases={}))
    assert answering(pool.names, None) == "first"
    assert answering(pool.names, "second") == "second"
    for name in ("", "FIRST", "x" * 100_000):
        with pytest.raises(UnknownModel, match="first, second") as refused:
            answering(pool.names, name)
        assert len(str(refused.value)) < 1000
    await pool.close()


async def test_a_swap_keeps_what_stays_and_closes_what_goes() -> None:
    pool = pool_of()
    await pool.start(ServingPlan(specs=(spec("stays"), spec("goes")), aliases={}))
    stays, goes = pool.get("stays"), pool.get("goes")
    await pool.retire(
        await pool.replace(
            ServingPlan(specs=(spec("comes"), spec("stays")), aliases={"x": "comes"})
        )
    )
    assert pool.get("stays") is stays
    assert answering(pool.names, None) == "comes"
    assert answering(pool.names, "x") == "comes"
    assert goes.model.engine.closed  # type: ignore[attr-defined]
    with pytest.raises(UnknownModel):
        answering(pool.names, "goes")
    await pool.close()


async def test_a_swap_that_cannot_load_changes_nothing() -> None:
    def broken(wanted: Spec) -> Loaded:
        if wanted.name == "broken":
            raise StartError("damaged")
        return loaded(wanted)

    pool = Pool(Limits(request_tokens=1000, queue_tokens=4000), load=broken)
    await pool.start(ServingPlan(specs=(spec("first"),), aliases={}))
    with pytest.raises(StartError, match="damaged"):
        await pool.retire(await pool.replace(ServingPlan(specs=(spec("broken"),), aliases={})))
    assert answering(pool.names, None) == "first"
    await pool.close()


def test_model_settings_go_by_the_served_name_too_and_must_match(tmp_path: Path) -> None:
    assert (
        plan((str(tmp_path),), {}, {tmp_path.name: LoadOptions(window_tokens=99)})
        .specs[0]
        .options.window_tokens
        == 99
    )
    with pytest.raises(StartError, match=r"model\.other: no such model is served"):
        plan((str(tmp_path),), {}, {"other": LoadOptions(window_tokens=99)})


@pytest.mark.parametrize(
    "chosen",
    [LoadOptions(window_tokens=99), LoadOptions(engine="torch")],
    ids=str,
)
@pytest.mark.parametrize("name", ["rerankd-mini", "rerankd-lexical"])
def test_settings_that_a_shipped_model_would_ignore_are_refused(
    name: str, chosen: LoadOptions
) -> None:
    assert plan((name,), {}, {name: LoadOptions()}).specs[0].name == name
    with pytest.raises(StartError, match=f"{name} ships with rerankd and runs in one way only"):
        plan((name,), {}, {name: chosen})


LEXICAL_FIRST = Cascade(first="rerankd-lexical", keep=200)
STAGES = ["rerankd-lexical:200", "big"]


def test_stages_hang_on_a_model_or_an_alias_and_bring_the_first_stage(tmp_path: Path) -> None:
    folder = tmp_path / "big"
    folder.mkdir()
    written = ["rerankd-lexical:200", str(folder)]
    for name, stages in (("fast", STAGES), ("big", STAGES), (str(folder), written)):
        made = plan((str(folder),), {"fast": "big"}, {}, {name: stages})
        assert [s.name for s in made.specs] == ["big", "rerankd-lexical"]
        assert made.cascades == {"fast" if name == "fast" else "big": LEXICAL_FIRST}
        assert made.specs[0] == plan((str(folder),), {}, {}).specs[0]  # stages load nothing anew
    assert plan((str(folder),), {"f": "big"}, {}, {"f": ["big"]}).cascades == {"f": None}


@pytest.mark.parametrize(
    ("aliases", "stages", "says"),
    [
        ({}, {"other": STAGES}, "no such model or alias is served"),
        ({"rerankd-lexical": "big"}, {"big": STAGES}, "cannot be a name of big"),
        ({"fast": "rerankd-mini"}, {"fast": STAGES}, "last stage is rerankd-mini, not big"),
        ({}, {"big": ["rerankd-lexical:200", "bgi"]}, "last stage is big, not bgi"),
        ({}, {"big": ["rerankd-lexical", "big"]}, "Write"),
    ],
    ids=str,
)
def test_stages_that_cannot_work_say_what_to_do(
    aliases: dict[str, str], stages: dict[str, list[str]], says: str, tmp_path: Path
) -> None:
    (tmp_path / "big").mkdir()
    with pytest.raises(StartError, match=says):
        plan((str(tmp_path / "big"),), aliases, {}, stages)


async def test_a_folder_answers_for_any_publisher_of_its_name() -> None:
    pool = pool_of()
    specs = (spec("bge-reranker-v2-m3", "/m/bge-reranker-v2-m3"), spec("a/x", "/m/x"))
    await pool.start(ServingPlan(specs=specs, aliases={"nickname": "a/x"}))
    assert answering(pool.names, "BAAI/bge-reranker-v2-m3") == "bge-reranker-v2-m3"
    assert answering(pool.names, "Pro/BAAI/bge-reranker-v2-m3") == "bge-reranker-v2-m3"
    assert not pool.names.is_served("BAAI/bge-reranker-v2-m3")
    for other in (
        "b/x",
        "x",
        "/bge-reranker-v2-m3",
        "BAAI/",
        "b/nickname",
        "BAAI/BGE-reranker-v2-m3",
    ):
        with pytest.raises(UnknownModel):
            answering(pool.names, other)
    await pool.close()


async def test_what_ships_inside_has_one_publisher() -> None:
    pool = pool_of()
    await pool.start(ServingPlan(specs=(spec("rerankd-mini"),), aliases={}))
    with pytest.raises(UnknownModel):
        answering(pool.names, "someone/rerankd-mini")
    await pool.close()


def test_a_folder_may_be_served_under_another_name(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoint-500"
    folder.mkdir()
    made = plan((f"ours/v5={folder}", f"BAAI/bge-reranker-v2-m3={folder}"), {}, {})
    assert [s.name for s in made.specs] == ["ours/v5", "BAAI/bge-reranker-v2-m3"]
    assert [s.folder for s in made.specs] == [folder.resolve()] * 2
    assert made.specs[1].named_by_catalog
    assert made.specs[1].options.window_tokens == 1024
    assert made.aliases["Pro/BAAI/bge-reranker-v2-m3"] == "BAAI/bge-reranker-v2-m3"


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("=FOLDER", "must not be empty"),
        ("name=/no/such/folder", "no such folder: /no/such/folder"),
        ("rerankd-mini=FOLDER", "ships with rerankd"),
    ],
)
def test_a_name_that_cannot_be_given_says_why(written: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(StartError, match=says):
        plan((written.replace("FOLDER", str(tmp_path)),), {}, {})


def test_a_floor_is_found_by_the_model_however_it_is_written(tmp_path: Path) -> None:
    made = plan((str(tmp_path), "rerankd-lexical"), {}, {}, {}, {str(tmp_path): 0.3})
    assert made.floors == {tmp_path.name: 0.3}
    beside = plan((), {}, {}, {}, {"rerankd-lexical": 0.2})
    assert beside.floors == {"rerankd-lexical": 0.2}


@pytest.mark.parametrize(
    ("floors", "says"),
    [
        ({"other": 0.3}, 'model."other".floor: a floor is of a model, not of another name'),
        ({"nobody": 0.3}, "served are rerankd-lexical"),
        ({"rerankd-lexical": float("nan")}, "nan is no score"),
        ({"rerankd-lexical": float("inf")}, "inf is no score"),
    ],
    ids=str,
)
def test_a_floor_of_no_model_is_refused(floors: dict[str, float], says: str) -> None:
    with pytest.raises(StartError, match=says):
        plan(("rerankd-lexical",), {"other": "rerankd-lexical"}, {}, {}, floors)


async def test_a_floor_that_no_score_can_be_at_is_refused_at_the_start_and_at_a_reload() -> None:
    pool = pool_of()
    wanted = ServingPlan(specs=(spec("a"),), aliases={}, floors={"a": 1.5})
    with pytest.raises(StartError, match=r'"a".floor: 1\.5; scores of a are from 0 to 1'):
        await pool.start(wanted)
    assert pool.loaded == {}
    good = replace(wanted, floors={"a": 0.25})
    await pool.start(good)
    first = pool.get("a")
    for refused in (wanted, ServingPlan(specs=(spec("b"),), aliases={}, floors={"b": -0.1})):
        with pytest.raises(StartError, match="floor"):
            await pool.replace(refused)
        assert (pool.floors, list(pool.loaded)) == ({"a": 0.25}, ["a"])
    assert await pool.replace(replace(wanted, floors={"a": 0.5})) == ()
    assert pool.floors == {"a": 0.5}
    assert pool.get("a") is first, "another floor loads nothing"
    await pool.close()
