"""The command on a small real collection: what it prints, writes and ends with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rerankd.cli.commands import app
from rerankd.core.errors import StartError

DATA = Path(__file__).parent.parent / "data"
LEXICAL = ("--model", "rerankd-lexical")


def run(*arguments: str | Path) -> None:
    app([str(argument) for argument in ("calibrate", *arguments)], result_action="return_value")


def test_a_floor_is_shown_with_its_space_and_as_a_setting(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(DATA / "xquad-de", *LEXICAL, "--json", tmp_path / "sub" / "f.json")
    report = json.loads((tmp_path / "sub" / "f.json").read_text())
    [model] = report["models"]
    floor = model["found"]["floor"]
    assert floor["low"] <= floor["value"] <= floor["high"]
    out = capsys.readouterr().out
    assert f"scores of the space {model['space']}" in out
    assert f'[model."rerankd-lexical"] floor = {floor["value"]}' in out
    assert (report["criterion"], report["resamples"], report["level"]) == ("youden", 2000, 0.95)


def test_what_cannot_be_parted_has_no_floor_and_a_status_of_its_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The right documents of another query are the relevant ones here."""
    for name in ("queries.jsonl", "docs.jsonl", "candidates.jsonl"):
        (tmp_path / name).write_text((DATA / "xquad-de" / name).read_text())
    lines = (tmp_path / "candidates.jsonl").read_text().splitlines()
    found = [json.loads(line) for line in lines]
    qrels = "".join(f"{line['qid']}\t{line['docs'][5]}\t1\n" for line in found)
    (tmp_path / "qrels.tsv").write_text(qrels)
    with pytest.raises(SystemExit) as ended:
        run(tmp_path, *LEXICAL, "--json", tmp_path / "f.json")
    assert ended.value.code == 3
    out = capsys.readouterr().out
    assert "no clean separation" in out
    assert "floor =" not in out
    [model] = json.loads((tmp_path / "f.json").read_text())["models"]
    assert (model["found"]["floor"], model["found"]["at_floor"]) == (None, None)
    assert model["found"]["reasons"]


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        ((), "needs a folder"),
        (("/no/such",), "no such folder"),
        ((DATA, "--precision", "1.5"), "above 0, at most 1"),
        ((DATA, "--precision", "0"), "above 0, at most 1"),
        ((DATA, "--precision", "0.9", "--criterion", "f1"), "do not go together"),
        ((DATA, "--grade", "0"), "at least 1"),
        ((DATA, "--resamples", "10"), "from 1000 to"),
        ((DATA, *LEXICAL, *LEXICAL), "given twice"),
    ],
    ids=str,
)
def test_flags_that_make_no_sense_are_refused(flags: tuple[str | Path, ...], says: str) -> None:
    with pytest.raises(StartError, match=says):
        run(*flags)
