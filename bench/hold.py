"""Does the server keep its promises under load, attack and a wrong signal?

    uv run python bench/hold.py overload [--models mini,minilm,lexical] [--loads 1.2,2,5,10]
    uv run python bench/hold.py long | readers | kill | signals | reloads | fair
    uv run python bench/hold.py soak --minutes 60
    uv run python bench/hold.py fuzz --cases 1000000
    uv run python bench/hold.py all
    uv run python bench/hold.py report

Each part starts `rerankd serve` in processes, with default settings on a free port, and writes
its figures into a JSON file (--out). --server-src PATH drives the server of another checkout
(its .venv), so that "before" and "after" run in the same harness; --label says which it is.
`report` makes docs/reliability.md of the file.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from holding import fair, fuzz, lifecycle, long, overload, readers, report, soak
from holding.figures import rounded
from holding.process import machine, program
from shared.serving import checkpoint

ROOT = Path(__file__).parent.parent
LOADS = {"mini": (1.2, 2.0, 5.0, 10.0), "minilm": (1.2, 2.0, 5.0, 10.0), "lexical": (1.2, 2.0)}


@dataclass(frozen=True)
class Choice:
    """What the command line says."""

    command: Sequence[str]
    args: argparse.Namespace
    folder: Path  # for the made-up checkpoint

    def model(self, name: str) -> str:
        """The --model of a name."""
        if name == "minilm":
            made = self.folder / "minilm-l6"
            return str(made if made.exists() else checkpoint(self.folder))
        return f"rerankd-{name}"

    @property
    def models(self) -> list[str]:
        """The names that were chosen."""
        return self.args.models.split(",")


async def _overload(choice: Choice) -> Any:
    told: dict[str, Any] = {}
    for name in choice.models:
        chosen = choice.args.loads
        loads = [float(load) for load in chosen.split(",")] if chosen else LOADS[name]
        told[name] = await overload.measure(
            choice.command, choice.model(name), loads, choice.args.seconds
        )
    return told


async def _long(choice: Choice) -> Any:
    told: dict[str, Any] = {}
    for name in choice.models:
        told[name] = await long.measure(
            choice.command, choice.model(name), choice.args.seconds, choice.args.cases_of
        )
    return told


async def _readers(choice: Choice) -> Any:
    return await readers.measure(choice.command, choice.args.count)


async def _kill(choice: Choice) -> Any:
    return await lifecycle.kill(choice.command)


async def _signals(choice: Choice) -> Any:
    return await lifecycle.signals(choice.command, choice.args.server_src or ROOT)


async def _reloads(choice: Choice) -> Any:
    return await lifecycle.reloads(choice.command, choice.args.reloads)


async def _fair(choice: Choice) -> Any:
    return await fair.measure(choice.command, choice.args.seconds)


async def _soak(choice: Choice) -> Any:
    return await soak.measure(choice.command, choice.args.minutes)


async def _fuzz(choice: Choice) -> Any:
    return await fuzz.measure(choice.command, choice.args.cases, choice.args.seed)


PARTS: dict[str, Callable[[Choice], Coroutine[Any, Any, Any]]] = {
    "overload": _overload,
    "long": _long,
    "readers": _readers,
    "kill": _kill,
    "signals": _signals,
    "reloads": _reloads,
    "fair": _fair,
    "soak": _soak,
    "fuzz": _fuzz,
}


def keep(out: Path, label: str, part: str, told: Any) -> None:
    """Put the figures of one part beside the others of the file; models are kept one by one."""
    whole: dict[str, Any] = json.loads(out.read_text("utf-8")) if out.exists() else {}
    parts = whole.setdefault(label, {})
    if part in ("overload", "long"):
        told["figures"] = parts.get(part, {}).get("figures", {}) | told["figures"]
    parts[part] = told
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(rounded(whole), indent=1, ensure_ascii=False) + "\n", "utf-8")


def main() -> None:
    """Run the named part, or all."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", choices=[*PARTS, "all", "report"])
    parser.add_argument("--server-src", type=Path, help="another checkout, with its .venv")
    parser.add_argument("--label", help='name of the figures; "after", or "before" with another')
    parser.add_argument("--out", type=Path, default=ROOT / "bench/hold.json")
    parser.add_argument("--models", default="mini,minilm,lexical")
    parser.add_argument("--loads", help="times saturation, in place of the model's own")
    parser.add_argument("--seconds", type=float, default=60.0, help="of each load or phase")
    parser.add_argument("--cases-of", help="long: only cases that contain this")
    parser.add_argument("--count", type=int, default=200, help="readers: that do not read")
    parser.add_argument("--reloads", type=int, default=100)
    parser.add_argument("--minutes", type=float, default=60.0, help="soak")
    parser.add_argument("--cases", type=int, default=1_000_000, help="fuzz")
    parser.add_argument("--seed", type=int, default=0, help="fuzz")
    parser.add_argument("--write", type=Path, default=ROOT / "docs/reliability.md")
    args = parser.parse_args()
    if args.part == "report":
        report.write(args.out, args.write)
        return
    label = args.label or ("before" if args.server_src else "after")
    with tempfile.TemporaryDirectory(prefix="rerankd-hold-models-") as made:
        choice = Choice(program(args.server_src), args, Path(made))
        for part in PARTS if args.part == "all" else (args.part,):
            started, where = time.monotonic(), machine()
            print(f"{part} ({label})", flush=True)
            figures = asyncio.run(PARTS[part](choice))
            took = time.monotonic() - started
            keep(args.out, label, part, {"figures": figures, "machine": where, "took_s": took})
            print(json.dumps(rounded(figures), indent=1, ensure_ascii=False), flush=True)
            if part == "fuzz" and figures["failed"]:
                raise SystemExit("fuzz: the answers above must not be")


if __name__ == "__main__":
    main()
