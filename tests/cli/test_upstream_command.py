"""`rerankd upstream` and `rerankd config --check`, as an operator calls them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from rerankd.core.agreement import spearman
from rerankd.gateway.trial import difference, dropped, golden, try_out
from rerankd.gateway.upstream import Upstream
from tests.kit.gateway import Told, answer, plan, scored
from tests.kit.processes import PATIENCE_S, serving

SECRET = "sk-upstream-0123456789"
FILE = """
[upstream.self]
dialect = "jina"
url = "URL"
key_env = "PROVIDER_KEY"
[upstream.gone]
dialect = "cohere"
url = "http://127.0.0.1:9/v1"
[route.lexical]
to = [
  { model = "rerankd-lexical" },
  { upstream = "self", name = "rerankd-lexical", space = "rerankd-lexical" },
]
"""


def run(*words: str) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("RERANKD_")}
    return subprocess.run(
        [sys.executable, "-m", "rerankd", *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=5 * PATIENCE_S,
        env=environment | {"PROVIDER_KEY": SECRET, "COLUMNS": "300"},
    )


def test_the_dialects_that_can_be_called_are_listed() -> None:
    shown = run("upstream", "dialects").stdout
    words = [line.split()[0] for line in shown.splitlines()]
    assert {"cohere", "cohere-v1", "dashscope", "siliconflow", "tei"} <= set(words)
    assert not {"vllm-score", "tei-predict"} & set(words)


def test_a_file_is_checked_as_a_start_would(tmp_path: Path) -> None:
    file = tmp_path / "x.toml"
    file.write_text('models = ["rerankd-lexical"]\n' + FILE.replace("URL", "http://127.0.0.1:9/v1"))
    good = run("config", "--check", str(file))
    assert (good.returncode, good.stderr) == (0, "")
    assert good.stdout == f"{file}: good; 1 models, 2 upstreams, 1 routes, 0 keys.\n"
    file.write_text(FILE.replace("URL", "http://127.0.0.1:9/v1").replace("jina", "jinx"))
    bad = run("config", "--check", str(file))
    assert bad.returncode == 1
    assert bad.stderr.startswith('rerankd: upstream."self".dialect: ')
    assert bad.stdout == ""


def test_a_files_form_is_checked_where_its_keys_are_not(tmp_path: Path) -> None:
    file = tmp_path / "x.toml"
    text = 'models = ["rerankd-lexical"]\n' + FILE.replace("URL", "http://127.0.0.1:9/v1")
    text = text.replace("PROVIDER_KEY", "NOT_HERE")
    text += (
        f'[upstream.file]\ndialect = "jina"\nurl = "http://127.0.0.1:9"\nkey_file = "{file}.k"\n'
    )
    file.write_text(text)
    strict = run("config", "--check", str(file))
    assert (strict.returncode, strict.stdout) == (1, "")
    assert strict.stderr.startswith('rerankd: upstream."self".key_env: the variable NOT_HERE is')
    lax = run("config", "--check", str(file), "--without-keys")
    assert (lax.returncode, lax.stderr) == (3, "")
    first, second, good = lax.stdout.splitlines()
    assert (
        first == 'warning: upstream."self".key_env: the variable NOT_HERE is not set, or is empty.'
    )
    assert (
        second
        == f'warning: upstream."file".key_file: cannot read {file}.k: No such file or directory.'
    )
    assert good.startswith(f"{file}: good, but for keys that are not here; 1 models, 3 upstreams")
    file.write_text(text.replace("jina", "jinx"))
    assert run("config", "--check", str(file), "--without-keys").returncode == 1
    file.write_text(text.replace("NOT_HERE", "PROVIDER_KEY").replace(f'key_file = "{file}.k"', ""))
    assert run("config", "--check", str(file), "--without-keys").returncode == 0


def test_two_upstreams_that_claim_one_space_are_compared(tmp_path: Path) -> None:
    file = tmp_path / "x.toml"
    upstreams = "".join(
        f'[upstream.u{n}]\ndialect = "jina"\nurl = "URL"\nkey_env = "PROVIDER_KEY"\n'
        for n in (0, 1)
    )
    targets = (
        '{ upstream = "u0", name = "rerankd-lexical", space = "one" }, '
        '{ upstream = "u1", name = "rerankd-mini", space = "one" }'
    )
    command = ["-m", "rerankd", "serve", "--port", "0", "--model", "rerankd-lexical"]
    with serving([*command, "--model", "rerankd-mini"], env={"RERANKD_API_KEYS": SECRET}) as server:
        settings = 'models = ["rerankd-lexical"]\n' + upstreams.replace("URL", server.url)
        file.write_text(f"{settings}[route.r]\nto = [{targets}]\n")
        shown = run("upstream", "test", "u0", "--config", str(file))
        assert shown.returncode == 1
        said = " ".join(shown.stdout.split())
        assert "u1/rerankd-mini and u0/rerankd-lexical share a space in a route" in said
        assert "(--tolerance 0.01)" in said
        found = run(
            "upstream", "test", "u0", "--config", str(file), "--tolerance", "1.01", "--json"
        )
        assert found.returncode == 0
        (result,) = json.loads(found.stdout)
        assert result["same_space"][0]["target"] == "u1/rerankd-mini"
        assert result["same_space"][0]["apart"]["largest"] > 0.01


def test_an_upstream_is_tried_compared_and_watched(tmp_path: Path) -> None:
    file, store = tmp_path / "x.toml", tmp_path / "kept.json"
    command = ["-m", "rerankd", "serve", "--port", "0", "--model", "rerankd-lexical"]
    with serving(command, env={"RERANKD_API_KEYS": SECRET}) as server:
        file.write_text('models = ["rerankd-lexical"]\n' + FILE.replace("URL", server.url))
        listed = run("upstream", "list", "--config", str(file))
        assert "self" in listed.stdout
        assert SECRET not in listed.stdout
        words = ("upstream", "test", "self", "--config", str(file), "--store", str(store), "--json")
        first = run(*words)
        assert first.returncode == 0, first.stderr
        (found,) = json.loads(first.stdout)
        assert found["trial"]["outcomes"] == ["ok"] * len(golden())
        assert (found["against"], found["apart"]["largest"]) == ("rerankd-lexical", 0)
        assert found["tokens"] == found["our_tokens"]
        assert "instruction" in found["trial"]["dropped"]
        assert found["drift"] is None
        kept = json.loads(store.read_text())
        kept["self/rerankd-lexical"]["scores"][0][0] += 0.5
        store.write_text(json.dumps(kept))
        second = run(*words)
        assert second.returncode == 1  # it drifted
        (found,) = json.loads(second.stdout)
        assert found["drift"]["largest"] == pytest.approx(0.5)
        assert run(*words).returncode == 0  # which is kept now
    gone = run("upstream", "test", "gone", "--model", "m", "--config", str(file))
    assert gone.returncode == 1
    assert "unreachable" in gone.stdout
    unknown = run("upstream", "test", "nope", "--config", str(file))
    assert "No upstream is named 'nope'; there are self, gone." in unknown.stderr


async def test_how_it_failed_is_kept_beside_what_was_answered() -> None:
    says = [scored(tuple(i / 10 for i in range(len(each.documents)))) for each in golden()]
    says[1] = answer(422, {"detail": "no"})
    made = Upstream(
        plan({"to": [{"upstream": "u"}]}, u={}).upstreams["u"], Told(*says), lambda _, __, ___: None
    )
    found = await try_out(made, "m")
    assert found.outcomes[:3] == ("ok", "invalid 422", "ok")
    assert (found.scores[1], found.tokens[:2]) == (None, (12, None))
    assert not found.is_ok
    assert dropped(made, "m") == found.dropped


def test_scores_are_compared_where_both_have_them() -> None:
    found = difference([(0.1, 0.9), None, (1.0, 0.0)], [(0.2, 0.9), (1.0,), (0.0, 1.0)])
    assert found is not None
    assert (found.largest, found.mean) == pytest.approx((1.0, 0.525))
    assert found.order == pytest.approx((spearman((0.1, 0.9), (0.2, 0.9)) - 1) / 2)
    assert difference([None], [(1.0,)]) is None


def test_the_pairs_have_several_scripts_and_a_long_document() -> None:
    pairs = golden()
    assert any("景点" in pair.query for pair in pairs)
    assert max(len(document) for pair in pairs for document in pair.documents) > 3000
