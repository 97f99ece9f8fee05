"""Runs schemathesis against the whole served API, then against answers that are broken on purpose.

    run.py PATH_OF_SCHEMATHESIS

Exit status 0 only if no answer of the real server is outside its schema, there were enough cases,
every operation answered 200 at least once, and each of the broken answers was found.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1]))

from tests.kit.processes import serving  # noqa: E402 - a sibling of this folder

KEY, MODEL = "sk-schema", "rerankd-lexical"
LEAST_CASES = 2000
PATIENCE_S = 300
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "ignored_auth",
    "negative_data_rejection",
)
# Path of a broken answer, and the check that must find it.
BROKEN = {
    "/voyage/v1/rerank": "Response violates schema",
    "/jina/v1/rerank": "Response violates schema",
    "/together/v1/rerank": "Undocumented status code",
    "/fireworks/v1/rerank": "Undocumented Content-Type",
    "/zeroentropy/v1/models/rerank": "API accepts requests without authentication",
    "/siliconflow/v1/rerank": "Schema-violating request accepted",
}


@dataclass(frozen=True)
class Found:
    """What a run of schemathesis said: exit status, output, statuses answered by operation."""

    status: int
    output: str
    answered: dict[str, Counter[str]]

    @property
    def cases(self) -> int:
        """Requests made."""
        return sum(sum(counts.values()) for counts in self.answered.values())


def schemathesis(program: Path, url: str, more: Sequence[str], examples: int) -> Found:
    """One run; each makes the same requests."""
    with tempfile.TemporaryDirectory() as folder:
        counts = Path(folder) / "counts.json"
        done = subprocess.run(
            [
                str(program.resolve()),
                "run",
                f"{url}/openapi.json",
                f"--header=Authorization: Bearer {KEY}",
                f"--checks={','.join(CHECKS)}",
                "--phases=coverage,fuzzing",
                f"--max-examples={examples}",
                "--generation-deterministic",
                # A key is given; one that is made up beside it says nothing.
                "--generation-with-security-parameters=false",
                "--suppress-health-check=all",
                "--request-timeout=30",
                "--no-color",
                *more,
            ],
            cwd=folder,
            env=os.environ
            | {
                "SCHEMATHESIS_HOOKS": str(HERE / "hooks.py"),
                "RERANKD_SCHEMA_MODEL": MODEL,
                "RERANKD_SCHEMA_COUNTS": str(counts),
            },
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        read: dict[str, dict[str, int]] = json.loads(counts.read_text()) if counts.exists() else {}
    answered = {operation: Counter(statuses) for operation, statuses in read.items()}
    return Found(done.returncode, done.stdout + done.stderr, answered)


def whole(program: Path) -> list[str]:
    """What is wrong with the real server; prints the figures."""
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "rerankd.toml"
        # Wrong keys by the hundred are part of the checks.
        keys = f'[[keys]]\nname = "schema"\nkey = "{KEY}"\n'
        config.write_text(f"[limits]\nwrong_keys = 1_000_000\n{keys}")
        command = ["-m", "rerankd", "serve", "--port", "0", "--config", str(config)]
        with serving([*command, "--model", MODEL, "--model", "rerankd-mini"]) as server:
            found = schemathesis(program, server.url, [], examples=12)
    statuses = sum(found.answered.values(), Counter[str]())
    print(
        f"{found.cases} cases, {len(found.answered)} operations, {time.monotonic() - start:.0f} s"
    )
    print("statuses:", ", ".join(f"{code}: {n}" for code, n in sorted(statuses.items())))
    wrong: list[str] = []
    if found.status != 0:
        wrong.append(f"schemathesis ended with {found.status}:\n{found.output[-20_000:]}")
    if found.cases < LEAST_CASES:
        wrong.append(f"{found.cases} cases, at least {LEAST_CASES} are wanted.")
    tested = re.search(r"Tested:\s+(\d+)", found.output)
    if tested is None or int(tested[1]) != len(found.answered):
        wrong.append(f"not every operation was tested:\n{found.output[-2000:]}")
    never = [name for name, counts in found.answered.items() if not counts["200"]]
    if never:
        wrong.append(f"never answered 200: {', '.join(never)}")
    return wrong


def broken(program: Path) -> list[str]:
    """Which of the broken answers were not found."""
    wrong: list[str] = []
    with serving([str(HERE / "broken_server.py"), MODEL, KEY]) as server:
        for path, title in BROKEN.items():
            found = schemathesis(program, server.url, [f"--include-path={path}"], examples=12)
            if found.status != 1 or title not in found.output:
                wrong.append(f"{path} is broken, and that was not found:\n{found.output[-2000:]}")
            else:
                print(f"broken on purpose, found: {path}: {title}")
    return wrong


def main() -> int:
    """The exit status."""
    program = Path(sys.argv[1])
    wrong = [*whole(program), *broken(program)]
    print("\n".join(wrong) or "every answer is as the OpenAPI document says")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
