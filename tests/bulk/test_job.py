"""Jobs: what is written, in which order, what fails, and that dying anywhere changes no byte."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from rerankd.bulk import job as job_module
from rerankd.bulk.manifest import read_manifest
from rerankd.bulk.output import OutputFolder
from rerankd.bulk.rows import WindowLimits
from rerankd.bulk.wishes import Wishes
from rerankd.core.errors import EngineFailed, StartError
from rerankd.core.request import Content, RerankRequest
from rerankd.core.rows import Logits, Row
from rerankd.engines.fake import FakeEngine
from rerankd.service.reranker import Reranker
from tests.bulk.kit import (
    errors_of,
    lines,
    pair_rows,
    parts,
    request_rows,
    rows_of,
    run,
)
from tests.kit.support import BytesModel

ROOT = Path(__file__).parents[2]


def alone(query: str, documents: Sequence[str]) -> list[tuple[int, float]]:
    """What the library ranks."""
    reranker = Reranker.__new__(Reranker)
    reranker.model = BytesModel()
    request = RerankRequest(
        query=Content(value=query), documents=tuple(Content(value=text) for text in documents)
    )
    return [(hit.index, hit.score) for hit in reranker.rerank(request).hits]


def test_pairs_are_written_in_order_with_the_scores_of_the_library(tmp_path: Path) -> None:
    rows = pair_rows(50)
    counts = run(lines(tmp_path / "in.jsonl", rows), tmp_path / "out")
    assert (counts.rows, counts.pairs, counts.failed) == (50, 50, 0)
    found = rows_of(tmp_path / "out")
    assert [row["id"] for row in found] == [row["id"] for row in rows]
    for row, written in zip(rows, found, strict=True):
        assert [(0, written["relevance_score"])] == alone(row["query"], [row["document"]])


def test_requests_are_ranked_as_the_library_ranks_them(tmp_path: Path) -> None:
    rows = request_rows(30)
    run(lines(tmp_path / "in.jsonl", rows), tmp_path / "out")
    for row, written in zip(rows, rows_of(tmp_path / "out"), strict=True):
        assert written["id"] == row["id"]
        found = [(each["index"], each["relevance_score"]) for each in written["results"]]
        assert found == alone(row["query"], row["documents"])
        texts = [document.encode() for document in row["documents"]]
        assert written["tokens"] == sum(len(row["query"]) + 1 + len(text) for text in texts)


def test_documents_keep_their_ids_and_top_n_cuts(tmp_path: Path) -> None:
    documents = [{"id": f"d{i}", "text": "x" * i} for i in range(5)]
    path = lines(tmp_path / "in.jsonl", [{"id": "a", "query": "q", "documents": documents}])
    run(path, tmp_path / "out", wishes=Wishes(top_n=2))
    [written] = rows_of(tmp_path / "out")
    assert [each["id"] for each in written["results"]] == [
        f"d{each['index']}" for each in written["results"]
    ]
    assert len(written["results"]) == 2


def test_bad_rows_are_told_with_their_lines_and_the_others_are_scored(tmp_path: Path) -> None:
    good = pair_rows(12)
    path = lines(tmp_path / "in.jsonl", good)
    raw = path.read_text().splitlines()
    raw[3:3] = ["{", '{"id": "x", "query": "", "document": "d"}', "", '{"id": [], "query": "q"}']
    path.write_text("\n".join(raw))
    counts = run(path, tmp_path / "out", is_patient=True)
    assert (counts.rows, counts.failed) == (15, 3)
    assert [row["id"] for row in rows_of(tmp_path / "out")] == [row["id"] for row in good]
    errors = errors_of(tmp_path / "out")
    assert [(each["line"], each["id"]) for each in errors] == [(4, 4), (5, "x"), (7, 7)]
    assert "at least 1 character" in errors[1]["message"]


class Fragile(FakeEngine):
    """Cannot run a row that has the byte "!"."""

    def forward(self, batch: Sequence[Row]) -> Logits:
        if any(np.any(row.ids == ord("!")) for row in batch):
            raise EngineFailed("!")
        return super().forward(batch)


def test_a_row_that_the_engine_cannot_run_fails_alone(tmp_path: Path) -> None:
    rows = pair_rows(20)
    rows[5]["document"] = "!"
    rows[6]["query"] = rows[5]["query"]
    path = lines(tmp_path / "in.jsonl", rows)
    counts = run(path, tmp_path / "out", engine=Fragile(max_length=None))
    assert counts.failed == 1
    [error] = errors_of(tmp_path / "out")
    assert (error["id"], error["error"]) == ("p5", "engine_failed")
    assert [row["id"] for row in rows_of(tmp_path / "out")] == [
        row["id"] for row in rows if row["id"] != "p5"
    ]


class Dying(FakeEngine):
    """Runs 25 rows and then nothing."""

    def forward(self, batch: Sequence[Row]) -> Logits:
        if sum(self.batches) + len(batch) > 25:
            raise EngineFailed("the device is lost")
        return super().forward(batch)


def test_an_engine_that_is_gone_stops_the_job_and_what_is_written_stays(tmp_path: Path) -> None:
    rows = pair_rows(40)
    path = lines(tmp_path / "in.jsonl", rows)
    with pytest.raises(StartError, match=r"Nothing can be scored any more.*the device is lost"):
        run(path, tmp_path / "out", engine=Dying(max_length=None), is_patient=True)
    assert not parts(tmp_path / "out")
    whole = run(path, tmp_path / "out")
    assert (whole.rows, whole.failed) == (40, 0)
    assert [row["id"] for row in rows_of(tmp_path / "out")] == [row["id"] for row in rows]


def test_more_than_a_hundredth_of_the_first_rows_stops_the_job(tmp_path: Path) -> None:
    rows = [*pair_rows(30), *({"query": "q"} for _ in range(11)), *pair_rows(30)]
    path = lines(tmp_path / "in.jsonl", rows)
    with pytest.raises(StartError, match="first 1000 rows fail, such as line"):
        run(path, tmp_path / "out")
    counts = run(path, tmp_path / "out", is_patient=True)
    assert (counts.rows, counts.failed, len(errors_of(tmp_path / "out"))) == (71, 11, 11)


def test_later_rows_may_fail(tmp_path: Path) -> None:
    rows = [*pair_rows(1000), *({"query": "q"} for _ in range(30))]
    counts = run(lines(tmp_path / "in.jsonl", rows), tmp_path / "out", limits=WindowLimits())
    assert counts.failed == 30


def test_a_job_that_was_stopped_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    path = lines(tmp_path / "in.jsonl", [*pair_rows(60), {"id": "bad"}])
    run(path, tmp_path / "whole")
    asked: list[int] = []

    def stops() -> bool:
        asked.append(1)
        return len(asked) > 4

    counts = run(path, tmp_path / "out", stops=stops)
    assert 0 < counts.rows < 60
    assert not parts(tmp_path / "out")  # a part has its name when it is whole
    run(path, tmp_path / "out")
    assert parts(tmp_path / "out") == parts(tmp_path / "whole")
    assert errors_of(tmp_path / "out") == errors_of(tmp_path / "whole")


def not_synced(_: int) -> None:
    """As os.fsync, whose absence a process that dies cannot tell."""


def test_dying_at_any_touch_of_the_disk_changes_no_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_module, "PART_ROWS", 10)
    monkeypatch.setattr(os, "fsync", not_synced)
    path = lines(tmp_path / "in.jsonl", [*pair_rows(29), {"id": "bad"}, *pair_rows(2)])
    run(path, tmp_path / "whole")
    wanted = parts(tmp_path / "whole")
    assert len(list((tmp_path / "whole").glob("part-*"))) == 3
    done = subprocess.run(
        [sys.executable, str(ROOT / "tests/bulk/dying.py"), str(path), str(tmp_path / "died")],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 60
    for out in sorted((tmp_path / "died").iterdir()):
        run(path, out)
        assert parts(out) == wanted, out.name
        assert errors_of(out) == errors_of(tmp_path / "whole")
        assert not list(out.glob("*.partial"))


def test_another_input_or_option_is_refused_and_named(tmp_path: Path) -> None:
    path = lines(tmp_path / "in.jsonl", request_rows(9))
    out = tmp_path / "out"
    run(path, out)
    with pytest.raises(StartError, match=r"top_n: not given then, 3 now.*--restart"):
        run(path, out, wishes=Wishes(top_n=3))
    lines(path, request_rows(10))
    with pytest.raises(StartError, match=r"in\.jsonl: other content"):
        run(path, out)
    assert run(path, out, restart=True).rows == 10
    assert len(rows_of(out)) == 10


def test_an_input_that_was_moved_is_the_same(tmp_path: Path) -> None:
    path = lines(tmp_path / "in.jsonl", pair_rows(9))
    run(path, tmp_path / "out", stops=lambda: True)
    (tmp_path / "other").mkdir()
    moved = path.rename(tmp_path / "other" / "in.jsonl")
    os.utime(moved, (1, 1))
    assert run(moved, tmp_path / "out").rows == 9


def test_a_folder_of_other_files_is_left_alone(tmp_path: Path) -> None:
    path = lines(tmp_path / "in.jsonl", pair_rows(9))
    out = tmp_path / "out"
    out.mkdir()
    (out / "part-00000.jsonl").write_text("of another program\n")
    for restart in (False, True):
        with pytest.raises(StartError, match="no job of rerankd began in it"):
            run(path, out, restart=restart)
    assert (out / "part-00000.jsonl").read_text() == "of another program\n"


def test_a_part_that_is_gone_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_module, "PART_ROWS", 7)
    path = lines(tmp_path / "in.jsonl", pair_rows(60))
    counts: list[int] = []
    out = tmp_path / "out"
    run(path, out, stops=lambda: len(list(out.glob("part-*.jsonl"))) > 2 or bool(counts))
    (out / "part-00001.jsonl").unlink()
    with pytest.raises(StartError, match=r"part-00001\.jsonl is not as the job left it"):
        run(path, out)


def test_one_job_writes_to_a_folder(tmp_path: Path) -> None:
    folder = OutputFolder(tmp_path / "out")
    with pytest.raises(StartError, match="another job"):
        OutputFolder(tmp_path / "out")
    folder.close()
    OutputFolder(tmp_path / "out").close()


def test_the_manifest_says_what_was_done(tmp_path: Path) -> None:
    path = lines(tmp_path / "in.jsonl", pair_rows(30))
    run(path, tmp_path / "out")
    found = read_manifest(tmp_path / "out")
    assert found is not None
    assert (found.state, found.kind, found.parts) == ("complete", "pairs", ("part-00000.jsonl",))
    assert found.counts is not None
    assert found.counts.tokens == sum(
        len(row["query"]) + 1 + len(row["document"]) for row in pair_rows(30)
    )
    assert json.loads((tmp_path / "out" / "manifest.json").read_text())["inputs"][0]["sha256"]


def test_a_sample_is_spread_and_always_the_same(tmp_path: Path) -> None:
    path = lines(tmp_path / "in.jsonl", pair_rows(100))
    run(path, tmp_path / "a", sample=0.1)
    run(path, tmp_path / "b", sample=0.1, limits=WindowLimits(pairs=2))
    found = [int(row["id"][1:]) for row in rows_of(tmp_path / "a")]
    assert parts(tmp_path / "a") == parts(tmp_path / "b")
    assert len(found) == 10
    assert [place // 10 for place in found] == list(range(10))
