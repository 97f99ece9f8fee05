"""`rerankd rank` on real text: the table at any width, the bar, TREC files, settings of a model."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from rich.cells import cell_len

from rerankd.cli.commands import app
from rerankd.cli.flags import effective
from rerankd.cli.options import model_spec
from rerankd.cli.terminal import one_line
from rerankd.core.errors import StartError
from rerankd.measure.trec import read_trec_run
from rerankd.settings.schema import Settings
from rerankd.web.assemble import plan_of
from tests.checkpoints import bert as checkpoints
from tests.kit.terminals import on_a_terminal

DATA = Path(__file__).parents[1] / "data"
QUERY = "Panthers defense 308 points"
HOSTILE = "\x1b[31mred\x1b[0m \u202eback\u202c [bold]x[/bold] 308 \x07points"


@pytest.fixture
def passages(tmp_path: Path) -> Path:
    """Paragraphs of Wikipedia in two scripts, and a document that wants to be obeyed."""
    texts = [
        json.loads(line)["text"]
        for name in ("xquad-de", "xquad-zh")
        for line in (DATA / name / "docs.jsonl").read_text().splitlines()[:12]
    ]
    path = tmp_path / "passages.txt"
    path.write_text("\n".join(" ".join(text.strip("\ufeff").split()) for text in [*texts, HOSTILE]))
    return path


def environment(columns: int | None = None) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("RERANKD_")}
    kept |= {"TERM": "xterm-256color"}
    for name in ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR"):
        kept.pop(name, None)
    return kept if columns is None else kept | {"COLUMNS": str(columns)}


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "rerankd", "rank", "--model", "rerankd-lexical", *arguments]


def test_explain_shows_chunks_and_words(tmp_path: Path) -> None:
    path = tmp_path / "lines.txt"
    path.write_text("Kyoto was the seat of the emperor.\n" + HOSTILE + "\nNothing\n")
    shown = piped("the emperor of Kyoto, 308 points", str(path), "--explain", "--top-n", "2")
    assert shown.returncode == 0, shown.stderr
    assert "#1, line 1: logit " in shown.stdout
    winner = r"(?m)^  \* 0-34 .* Kyoto was the seat of the emperor\.$"
    assert re.search(winner, shown.stdout)
    assert "words: Kyoto" in shown.stdout or ", Kyoto " in shown.stdout
    assert "bm25 0." in shown.stdout
    assert "\x1b[31m" not in shown.stdout
    lines = piped("the emperor of Kyoto", str(path), "--explain", "--json", "-n", "1").stdout
    (found,) = [json.loads(line) for line in lines.splitlines()]
    told = found["explained"]
    (chunk,) = told["chunks"]
    assert (chunk["start"], chunk["end"], chunk["won"]) == (0, 34, True)
    assert chunk["logit"] == told["logit"]
    assert {match["kind"] for match in told["matches"]} == {"word"}
    plain = piped("the emperor of Kyoto", str(path), "--json", "-n", "1").stdout
    assert json.loads(plain) == {k: v for k, v in found.items() if k != "explained"}


def piped(*arguments: str, columns: int | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments),
        env=environment(columns),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def plain(written: str) -> list[str]:
    """The lines without colours."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", written).replace("\r", "").splitlines()


def check_table(lines: list[str], columns: int, file: Path) -> None:
    head, *rows = lines
    texts = file.read_text().splitlines()
    assert head.split() == ["#", "score", "line", "document"]
    assert len(rows) == len(texts)
    for place, row in enumerate(rows, 1):
        assert cell_len(row) <= columns, row
        found = re.match(r" *(\d+) +(\d\.\d{4}) +[━╸╺ ]* +(\d+)  (\S.*?) *$", row)
        assert found, row
        assert int(found[1]) == place
        text, shown = texts[int(found[3]) - 1], found[4]
        if text != HOSTILE:
            assert shown == text or (shown.endswith("…") and text.startswith(shown[:-1].rstrip()))
            assert shown == text or cell_len(row.rstrip()) >= columns - 2, "the text has the rest"


@pytest.mark.parametrize("columns", [80, 140, 200])
def test_a_pipe_gets_every_column_of_the_table_on_real_text(passages: Path, columns: int) -> None:
    done = piped(QUERY, str(passages), columns=columns)
    assert done.returncode == 0, done.stderr
    check_table(done.stdout.splitlines(), columns, passages)
    assert done.stderr == "", "no bar where nobody looks"
    assert "\x1b" not in done.stdout


def test_a_pipe_without_a_width_is_wide(passages: Path) -> None:
    check_table(piped(QUERY, str(passages)).stdout.splitlines(), 140, passages)


@pytest.mark.parametrize("columns", [80, 200])
def test_a_terminal_gets_every_column_of_the_table_on_real_text(
    passages: Path, columns: int
) -> None:
    check_table(
        plain(on_a_terminal(command(QUERY, str(passages)), columns=columns, env=environment())),
        columns,
        passages,
    )


def test_a_narrow_screen_keeps_score_and_line(passages: Path) -> None:
    lines = piped(QUERY, str(passages), columns=40).stdout.splitlines()
    assert all(cell_len(line) <= 40 for line in lines)
    assert re.match(r" 1 +\d\.\d{4} +\d+  \S", lines[1])


def test_a_terminal_sees_how_far_it_is_and_a_file_gets_the_table_alone(passages: Path) -> None:
    written = on_a_terminal(
        command(QUERY, str(passages)), columns=80, env=environment(), stderr_too=True
    )
    assert "ranking" in written
    assert "25 of 25" in written


def test_a_document_gives_no_orders_to_the_terminal(passages: Path) -> None:
    written = on_a_terminal(command("red back", str(passages)), columns=80, env=environment())
    assert not re.search("\x1b\\[31m|\x07|\u202e", written)
    assert "[bold]x[/bold]" in written, "its text is not markup"


@pytest.mark.parametrize(
    ("text", "cells", "shown"),
    [
        ("a\t\u2028 b\n", 80, "a b"),
        ("\x1b]0;title\x07x", 80, "]0;titlex"),
        ("\u0645\u06cc\u200c\u062e\u0648", 80, "\u0645\u06cc\u200c\u062e\u0648"),
        ("\u202e\u2066 \x00", 80, ""),
        ("x" * 10_000, 10, "x" * 40),
        ("  " * 10_000 + "x", 10, ""),
    ],
    ids=["blanks", "escape", "joiner", "nothing", "long", "far away"],
)
def test_a_text_in_one_line(text: str, cells: int, shown: str) -> None:
    assert one_line(text, cells) == shown


def test_a_run_is_written_in_trecs_form_and_read_in_the_same_order(tmp_path: Path) -> None:
    path = tmp_path / "d.jsonl"
    texts = {"z": "soup", "b": "capital of France", "a": "capital of France", "c": "capital"}
    path.write_text(
        "".join(json.dumps({"id": i, "text": t}) + "\n" for i, t in texts.items())
        + '{"id": 7, "text": "France"}\n{"text": "Paris of France"}\n'
    )
    out = tmp_path / "run"
    done = piped("capital of France", str(path), "--run-out", str(out), "--query-id", "q1")
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    shown = [
        json.loads(x)
        for x in piped("capital of France", str(path), "--json").stdout.split("\n")
        if x
    ]
    wanted = [hit.get("id", str(hit["line"])) for hit in shown]
    assert wanted[:2] == ["b", "a"], "equal texts: the lower index first"
    assert set(wanted) == {"z", "b", "a", "c", "7", "6"}
    assert read_trec_run(out) == {"q1": wanted}
    fields = [line.split() for line in out.read_text().splitlines()]
    assert [f[3] for f in fields] == [str(n) for n in range(1, 7)]
    assert {f[5] for f in fields} == {"rerankd-lexical"}


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ('{"id": "a b", "text": "x"}\n', "'a b' cannot stand in a TREC run"),
        ('{"id": "", "text": "x"}\n', "'' cannot stand in a TREC run"),
        ('{"id": 1, "text": "x"}\n{"id": "1", "text": "y"}\n', "'1' is the id of two documents"),
    ],
    ids=["blank", "empty", "twice"],
)
def test_ids_that_a_run_cannot_hold_are_refused(tmp_path: Path, lines: str, says: str) -> None:
    path = tmp_path / "d.jsonl"
    path.write_text(lines)
    done = piped("x", str(path), "--run-out", str(tmp_path / "run"))
    assert done.returncode == 1
    assert says in done.stderr
    assert not (tmp_path / "run").exists()


def test_settings_after_a_comma_are_taken_by_every_command(tmp_path: Path) -> None:
    folder = checkpoints.write(tmp_path / "tiny", checkpoints.TINY_XLMR)
    written = f"{folder},quantization=int8,window_tokens=64"
    path = tmp_path / "d.txt"
    path.write_text("a\nb\n")

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "rerankd", *arguments],
            env=environment(400),
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "openvino cpu int8" in run("doctor", written)
    assert len(run("rank", "a", str(path), "--model", written, "--json").splitlines()) == 2
    shown = run("config", "--model", written, "--model", "rerankd-lexical")
    shown = shown.partition("\n\n")[0]  # then come servers that run on this machine
    [line] = [line for line in shown.splitlines() if line.startswith("model.")]
    assert "'quantization': 'int8'" in line
    assert line.rstrip().endswith("flag")
    assert f"['{folder}', 'rerankd-lexical']" in shown
    served, _ = plan_of(effective(config=None, model=[written, "rerankd-lexical"]).settings).specs
    assert (served.name, served.options.window_tokens) == ("tiny", 64)
    assert served.options.quantization == "int8"


@pytest.mark.parametrize(
    ("folder", "before", "after", "found"),
    [
        ("tiny", "", "", ("tiny", None)),
        ("tiny", "mine=", ",quantization=int8", ("mine", "int8")),
        ("ti,ny", "", "", ("ti,ny", None)),
        ("ti,ny", "mine=", "", ("mine", None)),
    ],
)
def test_a_folder_may_have_a_name_of_its_own_a_comma_and_settings(
    tmp_path: Path, folder: str, before: str, after: str, found: tuple[str, str | None]
) -> None:
    made = checkpoints.write(tmp_path / folder, checkpoints.TINY_XLMR)
    written = f"{before}{made}{after}"
    [served] = plan_of(effective(config=None, model=[written]).settings).specs
    for spec in (served, model_spec(written)):
        assert (spec.name, spec.options.quantization) == found


@pytest.mark.parametrize(
    ("arguments", "steps"),
    [
        (("eval", str(DATA / "xquad-de"), "--model", "rerankd-lexical"), "14 of 14"),
        (("bench", "rerankd-lexical", "--rounds", "2", "--documents", "5", "--latency-s", "0"), ""),
    ],
    ids=["eval", "bench"],
)
def test_a_terminal_sees_how_far_a_measurement_is(arguments: tuple[str, ...], steps: str) -> None:
    run = [sys.executable, "-m", "rerankd", *arguments]
    shown = on_a_terminal(run, columns=100, env=environment(), stderr_too=True)
    assert re.search(r"\d+ of \d+", shown)
    assert steps in shown
    done = subprocess.run(
        run, env=environment(), capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert "━" not in done.stderr


def test_settings_of_the_flag_go_before_those_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "rerankd.toml"
    path.write_text(
        '[model."bge-reranker-base"]\nwindow_tokens = 100\nquantization = "int8"\n', "utf-8"
    )
    found = effective(config=path, model=["bge-reranker-base,window_tokens=64"])
    settings = found.settings.model["bge-reranker-base"]
    assert (settings.window_tokens, settings.quantization) == (64, "int8")


@pytest.mark.parametrize("command", ["serve", "doctor", "rank"])
def test_a_wrong_setting_after_a_comma_is_named(command: str, tmp_path: Path) -> None:
    path = tmp_path / "d.txt"
    path.write_text("a\n")
    written = "rerankd-lexical,speed=high"
    arguments = {
        "serve": ["--model", written],
        "doctor": [written],
        "rank": ["a", str(path), "--model", written],
    }[command]
    done = subprocess.run(
        [sys.executable, "-m", "rerankd", command, *arguments],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 1
    assert "unknown field `speed`" in done.stderr
    assert written in done.stderr


def test_bench_has_variants_instead() -> None:
    says = "`rerankd bench rerankd-lexical --variant quantization=int8`"
    with pytest.raises(StartError, match=says):
        app(["bench", "rerankd-lexical,quantization=int8"], result_action="return_value")


def test_settings_after_a_comma_in_the_file_are_sent_to_their_table() -> None:
    with pytest.raises(StartError, match=r'Settings are in \[model\."bge"\] of the configuration'):
        plan_of(Settings(models=("bge,quantization=int8",)))
