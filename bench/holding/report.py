"""docs/reliability.md from the figures of bench/hold.py."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

Figures = dict[str, Any]
LABELS = ("before", "after")
NAMES = {"mini": "rerankd-mini", "minilm": "MiniLM-shaped", "lexical": "rerankd-lexical"}

HEAD = """# Reliability

What the server does under load, attack and a wrong signal, measured with one command:

    uv run python bench/hold.py all            # each part by name: see --help
    uv run python bench/hold.py soak --minutes 60
    uv run python bench/hold.py fuzz --cases 1000000
    uv run python bench/hold.py report         # writes this page

Servers run as processes with default settings. "before" is commit 1f9211a, driven by the same
harness (`--server-src`). The load generator shares the machine with the server; its CPU time is
stated. The promises themselves are tests: `tests/hold/`, and `python tests/hold/mutations.py`
breaks the code on purpose, fault by fault, and expects them to notice.
"""


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def number(value: Any, unit: str = "", digits: int = 0) -> str:
    """A figure, or a dash when there is none."""
    return "–" if value is None else f"{value:,.{digits}f}{unit}"


def share(value: Any) -> str:
    """A percentage."""
    return "–" if value is None else f"{100 * value:.0f} %"


def counted(statuses: Figures) -> str:
    """Statuses and how often."""
    return ", ".join(f"{name}: {count}" for name, count in statuses.items()) or "–"


def overload(told: Figures) -> str:
    """A row for each model, load and label."""
    rows: list[Sequence[str]] = []
    for model, name in NAMES.items():
        found = {
            (load["load"], label): load
            for label in LABELS
            for load in _figures(told, label, "overload").get(model, {}).get("loads", [])
        }
        for (times, label), load in sorted(found.items(), key=_order):
            probes = f"{load['probes_admitted']} of {load['probes']}" if load["probes"] else "–"
            rows.append(
                (
                    name,
                    f"{times:g} ×",
                    label,
                    share(load["goodput"]),
                    share(load["goodput_after_refusals"]),
                    share(load["goodput_by_cpu"]),
                    counted(load["statuses"]),
                    number(load["refusal_cpu_ms"], " ms", 2),
                    (
                        f"{number(load['accepted_p50_s'], '', 1)} / "
                        f"{number(load['accepted_p99_s'], ' s', 1)}"
                    ),
                    number(load["alone_s"], " s", 2),
                    probes,
                    number(load["recovery_s"], " s", 1)
                    if load["recovery_s"] is not None
                    else "> 90 s",
                    f"{number(load['peak_mb'])} / {number(load['after_mb'])}",
                )
            )
    head = (
        "model",
        "load",
        "",
        "goodput",
        "after what refusing costs",
        "by CPU time",
        "statuses",
        "CPU a refusal",
        "accepted p50 / p99",
        "alone",
        "waited Retry-After: admitted",
        "recovery",
        "MiB peak / after",
    )
    return (
        "\n## Overload\n\nOpen loop (Poisson), 20 documents of 100 words a request, all "
        "distinct, clients that give up after 30 s. The load is in times of the saturation that"
        " a closed loop of 4 clients reached on the same server just before. Goodput: requests "
        "answered 200 within the run, over saturation; by CPU time: what those cost in the "
        "closed loop, over what the server used. CPU a refusal: the event loop's CPU time less "
        "what its accepted requests cost in the closed loop, by refusal. Recovery: from the end"
        " of the load until a request of one document, sent every 0.1 s, is answered within its"
        " own time and 2 s, and stays so for 3 s.\n\n" + table(head, rows)
    )


def _order(one: tuple[tuple[float, str], Figures]) -> tuple[float, bool]:
    (times, label), _ = one
    return times, label == "after"


def long(told: Figures) -> str:
    """A row for each model, case and label."""
    rows: list[Sequence[str]] = []
    for model, name in NAMES.items():
        cases = {
            (case, label): found
            for label in LABELS
            for case, found in _figures(told, label, "long").get(model, {}).items()
        }
        order = list(dict.fromkeys(case for case, _ in cases))
        for case, label in sorted(cases, key=lambda one: (order.index(one[0]), one[1] == "after")):
            found = cases[case, label]
            stays, leaves = found["stays"], found["leaves"]
            rows.append(
                (
                    name,
                    case,
                    label,
                    number(found["idle_p99_ms"], " ms"),
                    f"{number(stays['p99_ms'])} / {number(leaves['p99_ms'], ' ms')}",
                    number(max(stays["health_most_ms"], leaves["health_most_ms"]), " ms"),
                    number(max(stays["ready_most_ms"], leaves["ready_most_ms"]), " ms"),
                    _pages(stays, leaves),
                    _exit(found),
                    _memory(found),
                )
            )
    head = (
        "model",
        "beside it",
        "",
        "small p99 idle",
        "beside: sender stays / leaves",
        "/health most",
        "/ready most",
        "pages not 200",
        "SIGTERM to exit",
        "MiB idle / peak / after",
    )
    return (
        "\n## Long documents\n\nA request of 4 short documents while one sender sends long ones "
        "without a pause: it waits for its answers, or leaves after half a second.\n\n"
        + table(head, rows)
    )


def _pages(*phases: Figures) -> str:
    bad = sum(
        count
        for phase in phases
        for page in ("health", "ready")
        for status, count in phase[page].items()
        if status != "200"
    )
    return str(bad)


def _memory(found: Figures) -> str:
    return " / ".join(number(found[name]) for name in ("idle_mb", "peak_mb", "after_mb"))


def _exit(found: Figures) -> str:
    if found["exit_status"] is None:
        return f"still running after {found['exit_s']:.0f} s"
    return f"{found['exit_s']:.1f} s, status {found['exit_status']}"


def readers(told: Figures) -> str:
    """Clients that do not read."""
    rows = [
        (
            way,
            label,
            str(found["readers"]),
            counted(found["answers"]),
            _memory(found),
            counted(found["small"]),
            number(found["small_p99_s"], " s", 2),
            str(int(found["cut"])),
            number(found["all_cut_s"], " s"),
        )
        for label, ways in _each(told, "readers")
        for way, found in ways.items()
    ]
    head = (
        "they come",
        "",
        "readers",
        "their answers",
        "MiB idle / peak / after",
        "small requests",
        "p99",
        "cut",
        "all cut after",
    )
    return (
        "\n## Clients that do not read\n\nEach sends 31 kB of gzip, is owed 31 MB and reads "
        "nothing; a small request is sent every 0.2 s.\n\n" + table(head, rows)
    )


def signals(told: Figures) -> str:
    """Doubled signals."""
    rows = [
        (
            way,
            label,
            counted(found["accepted"]),
            str(found["accepted_not_200"]),
            counted(found["later"]),
            f"{found['exit_s']:.1f} s, status {found['exit_status']}",
        )
        for label, ways in _each(told, "signals")
        for way, found in ways.items()
    ]
    head = ("signal", "", "requests sent before it", "of them not 200", "sent after it", "exit")
    return (
        "\n## Signals\n\nSix clients are being answered; the signal comes twice within 50 ms.\n\n"
        + table(head, sorted(rows, key=lambda row: row[0]))
    )


def kill(told: Figures) -> str:
    """kill -9 and start again."""
    rows = [
        (
            label,
            str(turn),
            counted(found["before"]),
            ", ".join(found["files_left"] + found["shared_memory_left"]) or "nothing",
            str(len(found["processes_left"])),
            f"{found['serves_again_s']:.1f} s",
        )
        for label, turns in _each(told, "kill")
        for turn, found in enumerate(turns["turns"], 1)
    ]
    head = ("", "turn", "answers until then", "files left", "processes left", "serves again after")
    return "\n## kill -9\n\nUnder load, then a start on the same port.\n\n" + table(head, rows)


def reloads(told: Figures) -> str:
    """SIGHUP under load."""
    rows = [
        (
            label,
            str(found["reloads"]),
            counted(found["answers"]),
            str(found["open_without_a_key"]),
            str(found["not_in_force_after_20_s"]),
            f"{found['threads']}, {found['fds']}",
        )
        for label, found in _each(told, "reloads")
    ]
    head = ("", "reloads", "answers meanwhile", "left open", "keys late", "threads, descriptors")
    return (
        "\n## Reloads\n\nUnder load; every tenth file does not parse, every tenth is empty and "
        "would leave the server open.\n\n" + table(head, rows)
    )


def fair(told: Figures) -> str:
    """Two keys."""
    rows = [
        (
            label,
            f"{found['served']['many']} : {found['served']['few']}",
            number(found["ratio"], "", 2),
            f"{counted(found['statuses']['many'])}; {counted(found['statuses']['few'])}",
        )
        for label, found in _each(told, "fair")
    ]
    head = ("", "served, 40 clients : 2 clients", "ratio", "statuses")
    return "\n## Fairness between keys\n\nEqual requests.\n\n" + table(head, rows)


def soak(told: Figures) -> str:
    """Does memory grow?"""
    rows = [
        (
            label,
            number(found["minutes"], " min"),
            number(found["requests"]),
            counted(found["statuses"]),
            number(found["mb_per_min"], "", 3),
            f"{number(found['fds_per_min'], '', 3)}, {number(found['threads_per_min'], '', 3)}",
            (
                f"{number(found['first_mb'])} / {number(found['quarter_mb'])} / "
                f"{number(found['last_mb'])} / {number(found['peak_mb'])}"
            ),
            "; ".join(found["failed"]) or "none",
        )
        for label, found in _each(told, "soak")
    ]
    head = (
        "",
        "length",
        "requests",
        "statuses",
        "MiB a minute",
        "descriptors, threads a minute",
        "MiB first / after a quarter / last / peak",
        "5xx but 503",
    )
    return (
        "\n## Soak\n\nSix clients, several dialects and sizes, clients that leave, bad bodies. "
        "Slopes by least squares over the last three quarters.\n\n" + table(head, rows)
    )


def fuzz(told: Figures) -> str:
    """Bodies and edges."""
    rows = [
        (
            label,
            f"{kind}, seed {found['seed']}",
            number(found[kind]["cases"]),
            counted(found[kind]["statuses"]),
            "; ".join(f"`{bad}`" for bad in found[kind]["bad"]) or "none",
        )
        for label, found in _each(told, "fuzz")
        for kind in ("bodies", "edges")
    ]
    head = ("", "what", "cases", "statuses", "5xx, hangs, not HTTP")
    return (
        "\n## Fuzz\n\nbodies: through the whole app in one process, on the fake engine. edges: "
        "bytes that are nearly HTTP, sent to a server process over sockets.\n\n" + table(head, rows)
    )


PARTS: dict[str, Callable[[Figures], str]] = {
    "overload": overload,
    "long": long,
    "readers": readers,
    "signals": signals,
    "kill": kill,
    "reloads": reloads,
    "fair": fair,
    "soak": soak,
    "fuzz": fuzz,
}


def page(told: Figures) -> str:
    """The whole page; a part without figures is left out."""
    made = [HEAD, _machines(told)]
    made += [
        make(told) for part, make in PARTS.items() if any(part in told.get(x, {}) for x in LABELS)
    ]
    return "".join(made)


def write(figures: Path, out: Path) -> None:
    """Write the page."""
    out.write_text(page(json.loads(figures.read_text("utf-8"))), "utf-8")
    print(out)


def _machines(told: Figures) -> str:
    seen = {
        f"{part['machine']['cores']} cores of {part['machine']['cpu']}"
        for label in LABELS
        for part in told.get(label, {}).values()
    }
    busiest = max(
        (part["machine"]["load"] for label in LABELS for part in told.get(label, {}).values()),
        default=0.0,
    )
    return (
        f"\nMachine: {'; '.join(sorted(seen))}. Load average before a part began: at most "
        f"{busiest:g}.\n"
    )


def _figures(told: Figures, label: str, part: str) -> Figures:
    return told.get(label, {}).get(part, {}).get("figures", {})


def _each(told: Figures, part: str) -> list[tuple[str, Figures]]:
    """(label, figures) of the labels that have the part."""
    return [(label, _figures(told, label, part)) for label in LABELS if part in told.get(label, {})]
