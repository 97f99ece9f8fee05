"""rerankd without a server."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import rerankd
from rerankd import (
    Content,
    EngineFailed,
    Hit,
    InvalidRequest,
    QueryTooLong,
    Ranking,
    Reranker,
    RerankError,
    RerankRequest,
    StartError,
)
from tests.checkpoints import bert as checkpoints


def test_three_lines_rank() -> None:
    hits = Reranker().rank("capital of France", ["Berlin is in Germany.", "Paris, France"])
    assert [hit.index for hit in hits] == [1, 0]
    assert 0 <= hits[1].score < hits[0].score <= 1


def test_top_n_raw_scores_and_no_documents() -> None:
    with Reranker() as reranker:
        documents = ["a b", "b c", "c d"]
        full = reranker.rank("b", documents)
        assert reranker.rank("b", documents, top_n=2) == full[:2]
        raw = reranker.rank("b", documents, raw_scores=True)
        assert [hit.score for hit in raw] == [hit.logit for hit in full]
        assert reranker.rank("b", []) == ()


def test_a_checkpoint_folder_ranks_too(tmp_path: Path) -> None:
    folder = checkpoints.write(tmp_path / "tiny", checkpoints.TINY_BERT)
    documents = [f"word {n} " * (n % 7) for n in range(300)]
    with Reranker(str(folder)) as reranker:
        together = {hit.index: hit.logit for hit in reranker.rank("word", documents)}
        alone = reranker.rank("word", documents[5:6])[0].logit
    assert together[5] == pytest.approx(alone, abs=1e-5)


def test_a_model_that_is_not_there_says_so() -> None:
    with pytest.raises(StartError, match="no such folder"):
        Reranker("/no/such/folder")


def test_importing_rerankd_is_light() -> None:
    heavy = "('msgspec', 'numpy', 'openvino', 'starlette')"
    code = f"import rerankd, sys; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_public_names() -> None:
    assert sorted(rerankd.__all__) == [
        "Content",
        "EngineFailed",
        "Hit",
        "InvalidRequest",
        "QueryTooLong",
        "Ranking",
        "RerankError",
        "RerankRequest",
        "Reranker",
        "StartError",
        "__version__",
    ]
    assert all(getattr(rerankd, name) for name in rerankd.__all__)
    assert not set(rerankd.__all__) - set(dir(rerankd))
    with pytest.raises(AttributeError):
        rerankd.nonsense  # type: ignore[attr-defined]  # noqa: B018 - the access is the test


def test_what_rank_gives_and_raises_is_public(tmp_path: Path) -> None:
    folder = checkpoints.write(tmp_path / "tiny", checkpoints.TINY_BERT)
    with Reranker(str(folder)) as reranker:
        hits = reranker.rank("a", ["a", "b"])
        assert all(type(hit) is Hit for hit in hits)
        request = RerankRequest(
            query=Content(value="a"), documents=(Content(value="a"), Content(value="b"))
        )
        ranking = reranker.rerank(request)
        assert type(ranking) is Ranking
        assert ranking.hits == hits
        with pytest.raises(QueryTooLong) as raised:
            reranker.rank("word " * 10_000, ["a"])
        assert isinstance(raised.value, InvalidRequest)
    assert issubclass(InvalidRequest, RerankError)
    assert issubclass(EngineFailed, RerankError)
    assert not issubclass(StartError, RerankError)


def test_one_string_is_one_document_and_wrong_input_is_said() -> None:
    reranker = Reranker()
    assert len(reranker.rank("a", "abc")) == 1
    with pytest.raises(InvalidRequest, match="top_n is -1"):
        reranker.rank("a", ["a", "b"], top_n=-1)
    with pytest.raises(InvalidRequest, match=r"documents\[1\] is a dict"):
        reranker.rank("a", ["a", {"text": "b"}])  # type: ignore[list-item]
