"""The command on small real collections and TREC files."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from rerankd.cli.commands import app
from rerankd.core.errors import StartError
from rerankd.measure.baselines import first_stage
from rerankd.measure.collection import read_collection
from rerankd.measure.metrics import mean_ndcg

pytestmark = pytest.mark.timeout(1800)  # slow

DATA = Path(__file__).parent.parent / "data"
QRELS = "q 0 a 1\nr 0 b 1\ns 0 c 1\nt 0 d 0\n"
GOOD = "q Q0 a 1 2 good\nq Q0 b 2 1 good\nr Q0 b 1 2 good\ns Q0 c 1 1 good\n"
POOR = "q Q0 b 1 2 poor\nq Q0 a 2 1 poor\nr Q0 x 1 2 poor\nr Q0 b 2 1 poor\n"


def run(*arguments: str | Path) -> None:
    app([str(argument) for argument in ("eval", *arguments)], result_action="return_value")


@pytest.fixture
def trec(tmp_path: Path) -> Path:
    for name, text in {"qrels": QRELS, "good": GOOD, "poor": POOR}.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def test_models_and_baselines_are_measured_on_every_collection_of_a_folder(tmp_path: Path) -> None:
    flags = ["--model", "rerankd-lexical", "--baseline", "random", "--baseline", "input-order"]
    files = ["--json", "f.json", "--plot", "sub/p.png", "--write", "sub/page.md"]
    done = subprocess.run(
        [sys.executable, "-m", "rerankd", "eval", str(DATA), *flags, *files],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "f.json").read_text())
    assert [table["name"] for table in report["sets"]] == ["xquad-de", "xquad-zh"]
    german = report["sets"][0]["systems"]
    given = german["input-order"]["nDCG@10"]
    assert given["mean"] == pytest.approx(
        mean_ndcg(read_collection(DATA / "xquad-de"), first_stage)
    )
    assert german["rerankd-lexical"]["nDCG@10"]["p"] is None, "the reference"
    chance = german["random"]["nDCG@10"]
    assert chance["low"] < chance["mean"] < chance["high"]
    assert chance["p"] <= chance["p_holm"] < 0.05
    both = [table["systems"]["random"]["MAP"]["mean"] for table in report["sets"]]
    assert report["mean"]["systems"]["random"]["MAP"]["mean"] == pytest.approx(sum(both) / 2)
    assert (tmp_path / "sub" / "p.png").read_bytes().startswith(b"\x89PNG")
    page = (tmp_path / "sub" / "page.md").read_text()
    assert "`rerankd eval DIR --model rerankd-lexical --baseline random" in page
    shown = f"{100 * chance['mean']:.1f}\\* ({100 * chance['low']:.1f}–{100 * chance['high']:.1f})"
    assert shown in page
    assert "![nDCG@10 and its intervals](p.png)" in page
    assert "--plot p.png`" in page
    assert f"{100 * chance['mean']:.1f}" in done.stdout


def test_runs_are_measured(trec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--run", trec / "good", "--run", trec / "poor", "--qrels", trec / "qrels"]
    run(*flags, "--json", trec / "out.json")
    [table] = json.loads((trec / "out.json").read_text())["sets"]
    assert table["queries"] == 3
    assert table["systems"]["good"]["MAP"]["mean"] == 1.0
    assert table["systems"]["poor"]["MRR@10"]["mean"] == pytest.approx((1 / 2 + 1 / 2 + 0) / 3)
    said = capsys.readouterr().err
    assert "1 queries have no relevant document: left out" in said
    assert "poor: 1 judged queries are not in it and count 0" in said


def test_what_was_ranked_is_written_and_measures_the_same_when_it_is_read(tmp_path: Path) -> None:
    out = tmp_path / "runs"
    models = ["--model", "rerankd-lexical", "--baseline", "random"]
    files = ["--run-out", out, "--per-query", "--json", tmp_path / "first.json"]
    run(DATA / "xquad-de", *models, *files)
    assert sorted(path.name for path in out.iterdir()) == [
        "xquad-de.random-1.run",
        "xquad-de.random-2.run",
        "xquad-de.random-3.run",
        "xquad-de.random-4.run",
        "xquad-de.random-5.run",
        "xquad-de.random.eval",
        "xquad-de.rerankd-lexical.eval",
        "xquad-de.rerankd-lexical.run",
    ]
    rows = [line.split("\t") for line in (DATA / "xquad-de" / "qrels.tsv").read_text().splitlines()]
    (tmp_path / "qrels").write_text("".join(f"{q} 0 {d} {g}\n" for q, d, g in rows))
    given = out / "xquad-de.rerankd-lexical.run"
    again = ["--run-out", tmp_path / "again", "--per-query", "--json", tmp_path / "again.json"]
    run("--run", given, "--qrels", tmp_path / "qrels", *again)
    [first], [second] = (
        json.loads((tmp_path / name).read_text())["sets"] for name in ("first.json", "again.json")
    )
    assert first["queries"] == second["queries"] == 14
    assert first["systems"]["rerankd-lexical"] == second["systems"][given.name]
    [values] = (tmp_path / "again").iterdir()
    assert values.read_text() == (out / "xquad-de.rerankd-lexical.eval").read_text()
    mean = first["systems"]["rerankd-lexical"]["nDCG@10"]["mean"]
    assert f"nDCG@10               \tall\t{mean:.6f}" in values.read_text().splitlines()


def test_the_rule_for_ties_is_said(trec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--run", trec / "good", "--qrels", trec / "qrels", "--write", trec / "page.md"]
    run(*flags)
    said = " ".join(capsys.readouterr().out.split())
    for rule in ("32 bits; ties go to the later document id", "MRR too"):
        assert rule in said
        assert rule in (trec / "page.md").read_text()
    run(DATA / "xquad-de", "--baseline", "input-order", "--write", trec / "page.md")
    assert "Ties keep the candidates' order" in capsys.readouterr().out
    assert "Ties keep the candidates' order" in (trec / "page.md").read_text()


def test_features_of_a_late_interaction_model_stand_beside_it(tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    run(DATA / "xquad-de", "--model", "rerankd-mini", "--features", "--json", out)
    [table] = json.loads(out.read_text())["sets"]
    found = {label: measures["nDCG@10"]["mean"] for label, measures in table["systems"].items()}
    assert list(found) == ["rerankd-mini", "rerankd-mini cosine", "rerankd-mini maxsim"]
    assert found["rerankd-mini"] > found["rerankd-mini maxsim"] > found["rerankd-mini cosine"]


def test_features_of_every_encoder_stand_beside_the_model(tmp_path: Path) -> None:
    out, floors = tmp_path / "out.json", tmp_path / "floors"
    floors.write_text(
        '[[floor]]\nover = ["rerankd-multi e5 cosine", "rerankd-multi minilm cosine"]\n'
    )
    run(
        *(DATA / "xquad-zh", "--model", "rerankd-multi", "--features", "--json", out),
        *("--floors", floors),
    )
    [table] = json.loads(out.read_text())["sets"]
    found = {label: measures["nDCG@10"]["mean"] for label, measures in table["systems"].items()}
    alone = [f"rerankd-multi {each}" for each in ("minilm cosine", "minilm maxsim")]
    other = [f"rerankd-multi {each}" for each in ("e5 cosine", "e5 maxsim")]
    assert list(found) == ["rerankd-multi", *alone, *other]
    # Pairs that the model never shows to the English encoder are ranked by it all the same.
    given = mean_ndcg(read_collection(DATA / "xquad-zh"), first_stage)
    assert all(found[label] != given for label in alone)
    assert min(found[label] for label in other) > max(found[label] for label in alone)


def test_floors_are_judged_set_by_set_and_a_missed_one_is_an_error(trec: Path) -> None:
    (trec / "floors").write_text(
        '[[floor]]\nsets = ["qrels"]\nat_least = 40\ngoal = 100\n'
        '[[floor]]\nover = ["good"]\nmargin = -90\n'
        '[[floor]]\nover = ["good", "poor"]\n'
        '[[floor]]\nsets = ["another"]\nat_least = 99\n'
    )
    flags = ["--run", trec / "poor", "--run", trec / "good", "--qrels", trec / "qrels"]
    says = r"Below the floor: qrels: the better of good or poor = 100\.00; found 42\.06\.$"
    with pytest.raises(StartError, match=says):
        run(*flags, "--floors", trec / "floors", "--write", trec / "page.md")
    page = (trec / "page.md").read_text()
    assert "--k 10 --floors floors`" in page
    assert "| qrels | 42.06 | 40 | holds | 100: no |" in page
    assert "| qrels | 42.06 | good - 90 = 10.00 | holds |  |" in page
    assert "| qrels | 42.06 | the better of good or poor = 100.00 | **missed** |  |" in page
    assert "another" not in page
    (trec / "floors").write_text("[[floor]]\nat_least = 42.05\n")
    run(*flags, "--floors", trec / "floors")


@pytest.mark.parametrize(
    ("floors", "says"),
    [
        ("[[floor]]\nat_least = 1\nover = ['good']\n", "floor 1 needs either at_least or over"),
        ("[[floor]]\n", "floor 1 needs either at_least or over"),
        ("[[floor]]\nat_most = 1\n", "unknown field `at_most`"),
        ("floor", "floors: "),
        ("[[floor]]\nover = ['other']\n", r"other is not measured\. Measured: good\."),
    ],
    ids=["both", "neither", "field", "TOML", "system"],
)
def test_floors_that_cannot_be_read_are_refused(trec: Path, floors: str, says: str) -> None:
    (trec / "floors").write_text(floors)
    flags = ["--run", trec / "good", "--qrels", trec / "qrels"]
    with pytest.raises(StartError, match=says):
        run(*flags, "--floors", trec / "floors")


def test_settings_of_a_model_are_checked() -> None:
    with pytest.raises(StartError, match=r"--model rerankd-lexical,speed=high: .*speed"):
        run(DATA, "--model", "rerankd-lexical,speed=high")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "needs a folder with a test collection, or --run and --qrels"),
        (["nowhere"], "nowhere: no such folder"),
        ([DATA.parent / "cli"], r"queries\.jsonl cannot be read"),
        ([DATA, DATA], "collection xquad-de: given twice"),
        ([DATA, "--model", "rerankd-lexical", "--model", "rerankd-lexical"], "given twice"),
        (["--qrels", "qrels"], "--run and --qrels go together"),
        ([DATA, "--qrels", "qrels"], "go without folders"),
        (["--run", "no", "--qrels", "no"], "no cannot be read"),
        ([DATA, "--model", "rerankd-lexical", "--features"], "no --model is a late-interaction"),
        ([DATA, "--k", "0"], "--k 0: at least 1"),
        ([DATA, "--per-query"], "--per-query writes beside the runs: add --run-out DIR"),
        (["--run", "a", "--qrels", "b", "--run-out", "c"], "the runs are files already"),
        ([DATA, "--run-out", DATA.parent / "conftest.py"], r"Cannot write .*conftest\.py"),
    ],
    ids=[
        "nothing",
        "folder",
        "empty",
        "sets",
        "models",
        "no run",
        "both",
        "file",
        "features",
        "k",
        "per query",
        "runs",
        "no folder",
    ],
)
def test_what_cannot_be_measured_is_one_sentence(arguments: list[str | Path], says: str) -> None:
    with pytest.raises(StartError, match=says):
        run(*arguments)


def test_a_run_of_other_queries_is_refused(trec: Path) -> None:
    (trec / "other").write_text("zzz Q0 a 1 1 me\n")
    with pytest.raises(StartError, match="other: none of its queries is judged in qrels"):
        run("--run", trec / "other", "--qrels", trec / "qrels")


def test_judgements_without_anything_relevant_are_refused(trec: Path) -> None:
    (trec / "qrels").write_text("q 0 a 0\n")
    with pytest.raises(StartError, match="no query has a relevant document"):
        run("--run", trec / "good", "--qrels", trec / "qrels")
