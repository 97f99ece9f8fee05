"""Where a setting comes from, and what a wrong one says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rerankd.core.errors import StartError
from rerankd.settings.declared import by_variable
from rerankd.settings.load import load
from rerankd.settings.reference import dotted
from rerankd.settings.schema import Settings
from rerankd.web.assemble import make_state

TOML = """
models = ["rerankd-lexical"]
[server]
port = 9000
contact = "ops@example.com"
[limits]
documents = 50
deadline_s = 10
[aliases]
"BAAI/bge-reranker-v2-m3" = "rerankd-lexical"
[model."rerankd-lexical"]
window_tokens = 512
[[keys]]
name = "team"
key = "sk-1"
models = ["rerankd-lexical"]
rpm = 60
tpm = 100000
"""


def config(folder: Path, text: str) -> Path:
    path = folder / "rerankd.toml"
    path.write_text(text)
    return path


def test_defaults_are_the_documented_ones() -> None:
    limits = Settings().limits
    assert (limits.body_bytes, limits.documents) == (33554432, 1000)
    assert (limits.document_bytes, limits.query_bytes) == (4194304, 131072)
    assert (limits.deadline_s, limits.drain_s) == (300, 30)
    assert limits.queue_tokens == 4 * limits.request_tokens
    assert (Settings().server.host, Settings().server.port) == ("127.0.0.1", 8000)


def test_later_sources_win_and_are_named(tmp_path: Path) -> None:
    path = config(tmp_path, TOML)
    env = {"RERANKD_LIMITS_DOCUMENTS": "70", "RERANKD_SERVER_PORT": "9001"}
    found = load(path, env, {("server", "port"): 9002})
    assert found.settings.limits.documents == 70
    assert found.settings.server.port == 9002
    assert found.settings.server.contact == "ops@example.com"
    assert found.sources["server.contact"] == str(path)
    assert found.sources["limits.documents"] == "RERANKD_LIMITS_DOCUMENTS"
    assert found.sources["server.port"] == "flag"
    assert "limits.query_bytes" not in found.sources


def test_keys_of_file_and_environment_are_all_good(tmp_path: Path) -> None:
    found = load(config(tmp_path, TOML), {"RERANKD_API_KEYS": "sk-2, ,sk-3"}, {})
    assert [(k.name, k.key) for k in found.settings.keys] == [
        ("team", "sk-1"),
        ("env-1", "sk-2"),
        ("env-2", "sk-3"),
    ]


def test_aliases_of_file_and_flag_are_merged(tmp_path: Path) -> None:
    found = load(config(tmp_path, TOML), {}, {("aliases",): {"a": "b"}})
    assert set(found.settings.aliases) == {"BAAI/bge-reranker-v2-m3", "a"}


def test_keys_are_never_shown(tmp_path: Path) -> None:
    shown = str(list(dotted(load(config(tmp_path, TOML), {}, {}).settings)))
    assert "team" in shown
    assert "sk-1" not in shown


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[limits]\ndocuments = 0", ["limits.documents", ">= 1", "rerankd.toml"]),
        ("[limits]\ndocuments = 'x'", ["limits.documents", "int"]),
        (
            "[limits]\ndokuments = 5",
            ["limits.dokuments: no such setting", "documents,", "rerankd.toml"],
        ),
        ("[serwer]\nport = 5", ["serwer: no such setting", "server,", "rerankd.toml"]),
        ("[model.a]\nengin = 'torch'", ["engin: no such setting", "engine,", "rerankd.toml"]),
        ("[[keys]]\nname='a'\nrmp=3", ["keys[0].rmp: no such setting", "rpm,", "rerankd.toml"]),
        ("[server]\nport = 70000", ["server.port", "65535"]),
        ("models = 'one'", ["models", "array"]),
        ("limits = 5", ["limits"]),
        ("this is not toml", ["not TOML"]),
        ("[[keys]]\nname = 'a'", ["'a' needs either key or sha256"]),
        ("[[keys]]\nname = 'a'\nkey = ' '", ["empty key"]),
        ("[[keys]]\nname = 'a'\nsha256 = 'abc'", ["64 hexadecimal"]),
        ("[[keys]]\nname='a'\nkey='x'\n[[keys]]\nname='a'\nkey='y'", ["given twice"]),
        ("[[keys]]\nname='a'\nkey='x'\nrpm=0", ["keys[0].rpm", ">= 1"]),
    ],
    ids=str,
)
def test_a_wrong_file_names_the_setting(tmp_path: Path, text: str, says: list[str]) -> None:
    with pytest.raises(StartError) as refused:
        load(config(tmp_path, text), {}, {})
    for part in says:
        assert part in str(refused.value)


@pytest.mark.parametrize(
    ("env", "says"),
    [
        ({"RERANKD_LIMITS_DOCUMENTS": "many"}, "RERANKD_LIMITS_DOCUMENTS='many'"),
        ({"RERANKD_LIMITS_DOCUMENTS": "0"}, ">= 1"),
        ({"RERANKD_ALIASES": "a"}, "SERVED=MODEL"),
    ],
    ids=str,
)
def test_a_wrong_variable_is_named(env: dict[str, str], says: str) -> None:
    with pytest.raises(StartError, match=says):
        load(None, env, {})


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="Cannot read"):
        load(tmp_path / "no.toml", {}, {})


@pytest.mark.parametrize(
    ("name", "value", "path", "expected"),
    [
        ("RERANKD_MODELS", "a, b", ("models",), ("a", "b")),
        ("RERANKD_ALIASES", "x=y,z=y", ("aliases",), {"x": "y", "z": "y"}),
        ("RERANKD_SERVER_CORS_ORIGINS", "*", ("server", "cors_origins"), ("*",)),
        ("RERANKD_SERVER_RETURN_DOCUMENTS", "false", ("server", "return_documents"), False),
        ("RERANKD_LIMITS_DEADLINE_S", "1.5", ("limits", "deadline_s"), 1.5),
    ],
)
def test_a_variable_sets(name: str, value: str, path: tuple[str, ...], expected: object) -> None:
    assert by_variable()[name].path == path
    found: Any = load(None, {name: value}, {}).settings
    for part in path:
        found = getattr(found, part)
    assert found == expected


def test_the_same_key_twice_is_an_error_since_its_limits_would_be_anyones_guess(
    tmp_path: Path,
) -> None:
    with pytest.raises(StartError, match="'team' and 'env-1' are the same key"):
        load(config(tmp_path, TOML), {"RERANKD_API_KEYS": "sk-1"}, {})


def test_a_misspelt_variable_is_an_error() -> None:
    with pytest.raises(StartError, match="RERANKD_LIMITS_DOCUMNETS"):
        load(None, {"RERANKD_LIMITS_DOCUMNETS": "5"}, {})


def test_media_settings_come_from_variables_and_are_the_guards_own() -> None:
    env = {"RERANKD_MEDIA_ALLOW": "a.test, 10.0.0.0/8", "RERANKD_MEDIA_PORTS": "80, 8080"}
    media = load(None, env | {"RERANKD_MEDIA_FETCH": "false"}, {}).settings.media
    assert (media.allow, media.ports, media.fetch) == (("a.test", "10.0.0.0/8"), (80, 8080), False)
    with pytest.raises(StartError, match="RERANKD_MEDIA_PORTS"):
        load(None, {"RERANKD_MEDIA_PORTS": "80,http"}, {})


def test_an_entry_of_media_allow_that_cannot_be_read_stops_the_start() -> None:
    with pytest.raises(StartError, match=r"media\.allow: 'http://a.test'"):
        make_state(load(None, {"RERANKD_MEDIA_ALLOW": "http://a.test"}, {}).settings)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ('[[price]]\nmodel = "m"\nper_request = 0.1', r"price\[0\]\.per_request: Expected .*float"),
        ('[[price]]\nmodel = "m"\nper_request = 2', r"price\[0\]\.per_request: .* as text"),
        ('[[cost]]\nupstream = "u"\nminimum = 1e-3', r"cost\[0\]\.minimum: .* as text"),
        ('[[price]]\nmodel = "m"\nfrom = 2026', r"price\[0\]\.from: Expected"),
        ('[[price]]\nmodel = "m"\nper = "2"', r"price\[0\]\.per: no such setting.* from"),
        ('[[price]]\nper_request = "2"', r"price\[0\]: .*model"),
        ('price = "2"', "price: Expected `array`"),
        ("price = [2]", r"price\[0\]: Expected `object`"),
    ],
)
def test_a_price_is_text_and_a_wrong_one_is_named(tmp_path: Path, written: str, said: str) -> None:
    path = tmp_path / "rerankd.toml"
    path.write_text(written)
    with pytest.raises(StartError, match=said):
        load(path, {}, {})


@pytest.mark.parametrize(
    ("written", "starts"),
    [
        ("2026-12-01", "2026-12-01"),
        ('"2026-12-01"', "2026-12-01"),
        ("2026-12-01T08:00:00Z", "2026-12-01T08:00:00+00:00"),
        ("2026-12-01 08:00:00", "2026-12-01T08:00:00"),
    ],
)
def test_a_price_starts_on_a_date_or_at_a_time(tmp_path: Path, written: str, starts: str) -> None:
    path = tmp_path / "rerankd.toml"
    path.write_text(f'[[price]]\nmodel = "m"\nfrom = {written}\n')
    assert load(path, {}, {}).settings.price[0].starts == starts
