"""Breaks the code on purpose, fault by fault, and expects the named tests to notice.

    uv run --group dev python tests/hold/mutations.py [WORDS ...] [--list]

Each mutation of mutation_table.py whose name contains one of the words (all, without words) is
made in a temporary copy of the sources, and its tests run there. Prints "caught" or "SURVIVED";
exit status 1 when one survived, or when its text is not found (once) in the source any more.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from mutation_table import MUTATIONS, Mutation

ROOT = Path(__file__).parents[2]
_FLAGS = ("-x", "-q", "--timeout=60", "-p", "no:cacheprovider")
_PATIENCE_S = 1200  # of one mutation's tests


def copied(target: Path) -> None:
    """What the tests need of the repository; what is not changed is linked."""
    for folder in ("src", "tests"):
        ignore = shutil.ignore_patterns("__pycache__", "node_modules")
        shutil.copytree(ROOT / folder, target / folder, ignore=ignore)
    for name in ("pyproject.toml", "README.md", "docs", "bench"):
        (target / name).symlink_to(ROOT / name)


def passes(folder: Path, tests: Sequence[str]) -> tuple[bool, str]:
    """Whether the tests are green in that copy, and their last line."""
    env = os.environ | {"PYTHONPATH": str(folder / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *_FLAGS, *tests],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        timeout=_PATIENCE_S,
        check=False,
    )
    if done.returncode not in (0, 1):  # 1 = tests failed; else they did not even run
        raise SystemExit(f"{tests}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    failed = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    return done.returncode == 0, failed[0] if failed else ""


def found(folder: Path, mutation: Mutation) -> bool:
    """Whether the old text stands exactly once in its file."""
    path = folder / mutation.file
    return path.exists() and path.read_text("utf-8").count(mutation.old) == 1


def mutate(folder: Path, mutation: Mutation) -> str:
    """Make one mutation, run its tests, take it back; the verdict."""
    if not found(folder, mutation):
        return "STALE: the old text is not there once"
    path = folder / mutation.file
    whole = path.read_text("utf-8")
    path.write_text(whole.replace(mutation.old, mutation.new), "utf-8")
    try:
        green, first = passes(folder, mutation.tests)
    finally:
        path.write_text(whole, "utf-8")
    return "SURVIVED" if green else f"caught by {first}"


def main() -> None:
    """Run them all."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("words", nargs="*")
    parser.add_argument("--list", action="store_true")
    args = parser.parse_args()
    chosen = [m for m in MUTATIONS if not args.words or any(w in m.name for w in args.words)]
    if args.list:
        print("\n".join(f"{m.name}: {m.file}" for m in chosen))
        return
    with tempfile.TemporaryDirectory(prefix="rerankd-mutations-") as made:
        folder = Path(made)
        copied(folder)
        green, first = passes(folder, sorted({test for m in chosen for test in m.tests}))
        if not green:
            raise SystemExit(f"the tests fail without a mutation: {first}")
        bad = 0
        for mutation in chosen:
            started = time.monotonic()
            verdict = mutate(folder, mutation)
            bad += not verdict.startswith("caught")
            print(f"{time.monotonic() - started:5.0f} s  {mutation.name}: {verdict}", flush=True)
    print(f"{len(chosen)} mutations, {len(chosen) - bad} caught, {bad} not")
    raise SystemExit(bad > 0)


if __name__ == "__main__":
    main()
