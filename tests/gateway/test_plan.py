"""Whatever is wrong about an upstream or a route is refused, with the path of the setting."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from rerankd.core.errors import StartError
from rerankd.gateway.plan import GatewayPlan, gateway_plan, needs_lexical
from rerankd.gateway.targets import RouteTarget
from rerankd.models.load import Spec
from rerankd.service.plan import ServingPlan
from rerankd.settings.load import load
from rerankd.settings.schema import Settings

ENV = {"KEY": "sk-one", "KEYS": "sk-a, sk-b", "EMPTY": " ", "BAD": "sk with space"}
SERVED = ServingPlan(
    specs=(Spec(name="here"), Spec(name="bge", folder=Path("/models/bge"))),
    aliases={"alias": "here"},
)
ADDRESSES = {"inside.test": ["10.0.0.9"], "meta.test": ["169.254.169.254"]}
UPSTREAM = {"dialect": "jina", "url": "https://api.jina.ai/v1", "key_env": "KEY"}
TARGET = {"upstream": "up", "name": "m"}


def look_up(host: str) -> Sequence[str]:
    if host in ("127.0.0.1", "10.1.1.1"):
        return [host]
    if host == "nowhere.test":
        raise OSError
    return ADDRESSES.get(host, ["93.184.216.34"])


def planned(
    upstream: dict[str, Any] | None = None, route: dict[str, Any] | None = None
) -> GatewayPlan:
    values: dict[str, Any] = {"upstream": {"up": UPSTREAM | (upstream or {})}}
    if route is not None:
        values["route"] = {"x": {"to": [TARGET]} | route}
    return gateway_plan(settings(values), SERVED, ENV, look_up=look_up)


def settings(values: dict[str, Any]) -> Settings:
    return msgspec.convert(values, Settings)


UPSTREAM_FAULTS: list[tuple[str, dict[str, Any], str]] = [
    ("dialect", {"dialect": "nope"}, "cannot be called; there are cohere"),
    ("dialect", {"dialect": "vllm-score"}, "cannot be called"),
    ("url", {"url": "api.jina.ai"}, "is no http"),
    ("url", {"url": "https://key@api.jina.ai"}, "key_env or key_file"),
    ("url", {"url": "http://api.jina.ai"}, "insecure = true"),
    ("url", {"url": "https://inside.test"}, "private network"),
    ("url", {"url": "https://meta.test", "allow": ["169.254.0.0/16"]}, "nobody may be sent"),
    ("url", {"url": "https://10.1.1.1"}, "private network"),
    ("url", {"url": "http://127.0.0.1:8000"}, "this server itself"),
    ("allow", {"allow": ["http://a"]}, "is no host"),
    ("key_env", {"key_env": None}, "needs a key"),
    ("key_env", {"key_env": "UNSET"}, "UNSET is not set"),
    ("key_env", {"key_env": "EMPTY"}, "EMPTY is not set, or is empty"),
    ("key_env", {"key_env": []}, "names no variable"),
    ("key_env", {"key_env": "BAD"}, "no key"),
    ("key_file", {"key_file": "/x"}, "give one of them"),
    ("key_file", {"key_env": None, "key_file": "/does/not/exist"}, "cannot read"),
    ("key_file", {"key_env": None, "key_file": "/a\0b"}, "cannot read"),
    ("key_file", {"key_env": None, "key_file": "/"}, "cannot read"),
]


@pytest.mark.parametrize(("setting", "values", "why"), UPSTREAM_FAULTS)
def test_a_fault_of_an_upstream_names_the_setting(
    setting: str, values: dict[str, Any], why: str
) -> None:
    with pytest.raises(StartError) as refused:
        planned(values)
    assert str(refused.value).startswith(f'upstream."up".{setting}: ')
    assert why in str(refused.value)
    assert "sk-" not in str(refused.value)


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("inf"), float("nan")])
def test_seconds_are_such_as_a_clock_can_count(seconds: float) -> None:
    for values in (
        {"upstream": {"up": UPSTREAM | {"timeout_s": seconds}}},
        {"upstream": {"up": UPSTREAM | {"connect_s": seconds}}},
        {"route": {"x": {"to": [TARGET], "hedge_after_s": seconds or -1.0}}},
    ):
        with pytest.raises(msgspec.ValidationError, match="_s"):
            settings(values)


ROUTE_FAULTS: list[tuple[str, dict[str, Any], str]] = [
    (".to[1].upstream", {"to": [TARGET, {"upstream": "gone"}]}, "no upstream is named 'gone'"),
    (".to[0]", {"to": [{}]}, "either model or upstream"),
    (".to[0]", {"to": [{"model": "here", "upstream": "up"}]}, "either model or upstream"),
    (".to[0].model", {"to": [{"model": "gone"}]}, "is not served here; served are here"),
    (".to[0].model", {"to": [{"model": "x"}]}, "this route itself"),
    (".to[0].name", {"to": [{"model": "here", "name": "y"}]}, "goes with upstream"),
    (".to[0].first", {"to": [{"model": "here", "first": "rerankd-lexical:2"}]}, "goes with"),
    (".to[0].first", {"to": [TARGET | {"first": "here:2"}]}, "rerankd-lexical:200"),
    (".to[0].name", {"to": [TARGET | {"name": " "}]}, "empty or blank"),
    (".to[0].space", {"to": [TARGET | {"space": "a b"}]}, "visible ASCII"),
    (".to[0].space", {"to": [TARGET | {"space": ""}]}, "visible ASCII"),
    (".to[1]", {"to": [TARGET, TARGET]}, "the same as to[0]"),
    (".order", {"order": "cheapest"}, 'a [[cost]] with upstream = "up"'),
    (".hedge_after_s", {"to": [{"model": "here"}], "hedge_after_s": 1}, "needs upstreams"),
    (".shadow.upstream", {"shadow": {"upstream": "gone"}}, "no upstream is named"),
]


@pytest.mark.parametrize(("setting", "values", "why"), ROUTE_FAULTS)
def test_a_fault_of_a_route_names_the_setting(
    setting: str, values: dict[str, Any], why: str
) -> None:
    with pytest.raises(StartError) as refused:
        planned(route=values)
    assert str(refused.value).startswith(f'route."x"{setting}: ')
    assert why in str(refused.value)


FILE_FAULTS = [
    ("[upstream.up]\nurl = 'x'", 'upstream."up".dialect: is required'),
    ("[upstream.up]\ndialect = 'x'\nurl = 1", 'upstream."up".url: Expected `str`'),
    ("[upstream.up]\ndialect = 'x'\nurl = 'x'\nkey = 'sk'", 'upstream."up".key: no such setting'),
    ("[upstream]\nup = 1", 'upstream."up": Expected `object`'),
    ("[route.'a/b']", 'route."a/b".to: is required'),
    ("[route.'a/b']\nto = []", 'route."a/b".to: Expected `array` of length >= 1'),
    ("[route.x]\nto = [{model = 'a'}, {upstrem = 'b'}]", 'route."x".to[1].upstrem: no such'),
    ("[route.x]\nto = [{model = 'a', weight = 0}]", 'route."x".to[0].weight: Expected'),
    ("[route.x]\nto = [{model = 'a'}]\norder = 'no'", 'route."x".order: Invalid enum'),
    ("[route.x]\nto = [{model = 'a'}]\nspaces = 'no'", 'route."x".spaces: Invalid enum'),
    ("[route.x]\nto = [{model = 'a'}]\non_loss = 'no'", 'route."x".on_loss: Invalid enum'),
    ("[route.x]\nto = [{model = 'a'}]\nattempts = 0", 'route."x".attempts: Expected'),
    ("[route.x]\nto = [{model = 'a'}]\nshadow = {share = 2}", 'route."x".shadow.share: Expected'),
]


@pytest.mark.parametrize(("toml", "why"), FILE_FAULTS)
def test_a_fault_of_the_file_names_the_setting(toml: str, why: str, tmp_path: Path) -> None:
    path = tmp_path / "rerankd.toml"
    path.write_text(toml)
    with pytest.raises(StartError) as refused:
        load(path, {}, {})
    assert str(refused.value).startswith(why)
    assert str(path) in str(refused.value)


@pytest.mark.parametrize("name", ["local", "a/b", "", "ä", "x" * 65, "a b"])
def test_a_name_of_an_upstream_can_stand_in_a_header(name: str) -> None:
    with pytest.raises(StartError, match="a name has letters"):
        gateway_plan(settings({"upstream": {name: UPSTREAM}}), SERVED, ENV, look_up=look_up)


@pytest.mark.parametrize("name", ["", " x", "*", "a\nb"])
def test_a_name_of_a_route_is_one(name: str) -> None:
    values = {"upstream": {"up": UPSTREAM}, "route": {name: {"to": [TARGET]}}}
    with pytest.raises(StartError, match="a name must not be"):
        gateway_plan(settings(values), SERVED, ENV, look_up=look_up)


def test_keys_come_from_variables_and_files_each_once(tmp_path: Path) -> None:
    assert planned({"key_env": ["KEY", "KEYS"]}).upstreams["up"].keys == ("sk-one", "sk-a", "sk-b")
    file = tmp_path / "keys"
    file.write_text("# ours\nsk-1\n\nsk-2\nsk-1\n")
    file.chmod(0o600)
    found = planned({"key_env": None, "key_file": str(file)}).upstreams["up"]
    assert found.keys == ("sk-1", "sk-2")
    assert "sk-1" not in repr(found)
    file.chmod(0o604)
    with pytest.raises(StartError, match=r'upstream."up".key_file: everybody .* may read'):
        planned({"key_env": None, "key_file": str(file)})
    file.chmod(0o600)
    for nothing in ("", "#\n", "sk-ü"):
        file.write_text(nothing)
        with pytest.raises(StartError, match=r'upstream."up".key_file'):
            planned({"key_env": None, "key_file": str(file)})


def test_a_server_of_ones_own_needs_no_key() -> None:
    own = {"key_env": None, "url": "http://127.0.0.1:9000"}
    assert planned(own).upstreams["up"].keys == ()
    inside = {"key_env": None, "url": "https://inside.test", "allow": ["10.0.0.0/8"]}
    assert planned(inside).upstreams["up"].keys == ()


def test_a_host_that_nobody_knows_now_is_looked_up_when_it_is_called() -> None:
    assert planned({"url": "https://nowhere.test"}).upstreams["up"].origin.host == "nowhere.test"


def test_targets_have_names_and_spaces() -> None:
    route = {
        "to": [
            {"upstream": "up"},
            {"upstream": "up", "name": "m", "space": "s", "weight": 3},
            {"model": "alias"},
            {"model": "/models/bge"},
        ]
    }
    found = planned(route=route).routes["x"].targets
    assert found == (
        RouteTarget(upstream="up", model="x", space="jina/x"),
        RouteTarget(upstream="up", model="m", space="s", weight=3),
        RouteTarget(model="alias"),
        RouteTarget(model="bge"),
    )


@pytest.mark.parametrize(
    ("route", "needs"),
    [
        ({}, False),
        ({"when_all_fail": "input-order"}, False),
        ({"when_all_fail": "rerankd-lexical"}, True),
        ({"to": [TARGET | {"first": "rerankd-lexical:9"}]}, True),
    ],
)
def test_the_lexical_model_is_served_where_a_route_asks_it(
    route: dict[str, Any], *, needs: bool
) -> None:
    assert needs_lexical(settings({"route": {"x": {"to": [TARGET]} | route}})) == needs
