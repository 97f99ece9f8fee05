"""`rerankd models`: what the catalog says of every model, at any width; `pull` on a terminal."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from rich.cells import cell_len

from rerankd.cli.commands import app
from rerankd.core.errors import StartError
from rerankd.measure import estimate
from rerankd.measure.catalog_facts import FACTS, RECOMMENDED
from rerankd.models import catalog, hub

ROOT = Path(__file__).parents[2]


@pytest.fixture
def known_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """100 GFLOP/s, and no weights."""

    def nothing(name: str) -> Path:
        raise StartError(f"{name}: not here")

    def measured(name: str) -> float:
        return 123.4 if name.startswith("rerankd-") else 0.0

    monkeypatch.setattr(estimate, "machine_gflops", lambda: 100.0)
    monkeypatch.setattr(estimate, "measured", measured)
    monkeypatch.setattr(hub, "cached_folder", nothing)


def shown(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, columns: int
) -> list[str]:
    monkeypatch.setenv("COLUMNS", str(columns))
    app(["models"], result_action="return_value")
    return capsys.readouterr().out.splitlines()


def test_this_machine_is_measured_and_everything_is_said() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "rerankd", "models", "--json"],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    rows = {row["model"]: row for row in map(json.loads, done.stdout.splitlines())}
    assert list(rows) == [entry.name for entry in catalog.ENTRIES]
    assert rows["rerankd-multi"]["default"]
    for name, row in rows.items():
        inside = catalog.find(name).ships_inside  # pyright: ignore[reportOptionalMemberAccess]
        assert row["documents_per_s"] >= 0
        assert row["documents_per_s_is"] == ("measured" if inside else "estimated")
        assert (row["download_bytes"] == 0) == inside
        assert row["memory_bytes"] > 30e6
        assert row["licence"]
        assert row["languages"]
    assert rows["rerankd-lexical"]["documents_per_s"] > 0
    fast, slow = (rows[f"cross-encoder/ms-marco-MiniLM-L{n}-v2"] for n in (2, 12))
    assert fast["documents_per_s"] > slow["documents_per_s"] > 0


@pytest.mark.usefixtures("known_machine")
@pytest.mark.parametrize("columns", [80, 140, 200])
def test_every_model_has_its_facts_at_any_width(
    columns: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = shown(capsys, monkeypatch, columns)
    assert all(cell_len(line) <= columns for line in lines)
    text = "\n".join(lines)
    starts = {entry.name: text.index(f"\n{entry.name}") for entry in catalog.ENTRIES}
    ends = [*starts.values(), text.index("Which one?")][1:]
    for (name, start), end in zip(starts.items(), ends, strict=True):
        facts, inside = FACTS[name], name.startswith("rerankd-")
        row, *more = text[start:end].strip().splitlines()
        figures = r"yes +none +\d+ MB +123" if inside else r"no +[\d.]+ [MG]B +[\d.]+ [MG]B +[~<]\d"
        assert re.match(rf"{re.escape(name)}(?: \(default\))? +{figures}", row), row
        about = " ".join(" ".join([row, *more]).split())
        for said in (facts.licence, facts.languages, *(f"{n} {v:.1f}" for n, v in facts.quality)):
            assert said in about
    assert "~ is estimated" in text
    for _, name in RECOMMENDED:
        assert name in text.split("Which one?")[1]


@pytest.mark.usefixtures("known_machine")
def test_figures_of_one_model_by_hand(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = shown(capsys, monkeypatch, 200)
    [line] = [x for x in lines if x.startswith("cross-encoder/ms-marco-MiniLM-L6-v2")]
    # 6 layers of 4 h^2 + 2 h 4h = 12 h^2 per token and 2 h per token pair, h = 384; n = 150.
    flops = 2 * 6 * (12 * 384**2 * 150 + 2 * 384 * 150**2)
    speed = 0.7 * 100e9 / flops
    memory = 150 + 1.2 * 4 * 6 * 12 * 384**2 / 1e6
    assert line.split()[1:5] == ["no", "91", "MB", f"{memory:.0f}"]
    assert f"~{speed:.0f}" in line.split()


def test_parameters_fit_the_sizes() -> None:
    for name, facts in FACTS.items():
        cost = facts.cost
        if cost is None:
            assert catalog.find(name).ships_inside, name  # pyright: ignore[reportOptionalMemberAccess]
            continue
        matrices = cost.layers * cost.token
        assert 0.15 * facts.parameters < matrices < facts.parameters or "Tiny" in name, name
        assert facts.stored_bytes in (2, 4)


def test_every_catalog_model_has_facts_and_the_recommended_are_in_it() -> None:
    assert set(FACTS) == {entry.name for entry in catalog.ENTRIES}
    assert {name for _, name in RECOMMENDED} <= set(FACTS)


def test_our_own_quality_is_that_of_the_page() -> None:
    page = (ROOT / "docs" / "quality.md").read_text()
    heads = re.search(r"^\| set \| queries \| (.*) \|$", page, re.MULTILINE)
    means = re.search(r"^\| mean \| \d+ \| (.*) \|$", page, re.MULTILINE)
    assert heads
    assert means
    values = dict(zip(heads[1].split(" | "), means[1].split(" | "), strict=True))
    for name in ("rerankd-mini", "rerankd-lexical"):
        assert dict(FACTS[name].quality)["own"] == float(re.split(r"[\\ ]", values[name])[0])


@pytest.mark.usefixtures("known_machine")
def test_a_model_that_is_here_has_the_size_that_it_has(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "model.safetensors").write_bytes(bytes(3_000_000))

    def here(name: str) -> Path:
        return tmp_path

    monkeypatch.setattr(hub, "cached_folder", here)
    [line] = [x for x in shown(capsys, monkeypatch, 200) if x.startswith("BAAI/bge-reranker-v2-m3")]
    assert line.split()[1:4] == ["yes", "3", "MB"]
