"""The command measures real models, small ones."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.checkpoints import bert as checkpoints

pytestmark = pytest.mark.timeout(1800)  # slow

DATA = Path(__file__).parent.parent / "data" / "xquad-de"
SMALL = ("--rounds", "1", "--documents", "3", "--latency-s", "0", "--texts", str(DATA))


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "rerankd", "bench", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)


def test_variants_are_compared_with_fp32_and_the_figures_are_written(tmp_path: Path) -> None:
    folder = checkpoints.write(tmp_path / "tiny", checkpoints.TINY_BERT)
    out = tmp_path / "figures.json"
    flags = ["--variant", "streams=1", "--collection", str(DATA), "--queries", "1"]
    done = bench(str(folder), *SMALL, *flags, "--json", str(out))
    assert done.returncode == 0, done.stderr
    assert "fp32 GEMM peak of this machine" in done.stdout
    figures = json.loads(out.read_text())
    for mix in ("long-tailed", "uniform"):
        variants = figures["speed"][mix]["variants"]
        assert list(variants) == ["fp32", "streams=1"]
        assert variants["fp32"]["speed"]["pairs_per_s"]["median"] > 0
        assert 0 < variants["fp32"]["speed"]["peak_share"]["median"] < 1
        assert variants["streams=1"]["agreement"]["max_difference"] < 1e-5
    assert figures["speed"]["long-tailed"]["peaks_gflops"][0] > 1
    assert set(figures["quality"]["ndcg"]) == {"fp32", "streams=1"}


def test_every_precision_is_compared_with_fp32_and_auto_says_what_it_took(tmp_path: Path) -> None:
    folder = checkpoints.write(tmp_path / "tiny", checkpoints.TINY_BERT)
    out = tmp_path / "figures.json"
    flags = [f for p in ("int8", "auto") for f in ("--variant", f"precision={p}")]
    done = bench(str(folder), *SMALL, *flags, "--json", str(out))
    assert done.returncode == 0, done.stderr
    assert "precision=auto: fp32 " in done.stdout
    assert "precision=auto: int8 " in done.stdout
    variants = json.loads(out.read_text())["speed"]["uniform"]["variants"]
    assert list(variants) == ["fp32", "precision=int8", "precision=auto"]
    assert variants["precision=int8"]["agreement"]["max_difference"] > 1e-5
    assert set(variants["precision=int8"]["agreement"]) == {
        "spearman",
        "top_overlap",
        "max_difference",
    }


def test_the_model_that_ships_inside_is_measured_without_a_peak() -> None:
    done = bench("--rounds", "1", "--documents", "3", "--latency-s", "0.01")
    assert done.returncode == 0, done.stderr
    assert "GEMM peak of this machine" not in done.stdout
    assert "1000" in done.stdout


def test_an_unknown_setting_of_a_variant_is_one_sentence() -> None:
    done = bench("--variant", "speed=high")
    assert done.returncode == 1
    assert "--variant speed=high" in done.stderr
    assert "Traceback" not in done.stderr
