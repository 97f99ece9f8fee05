"""What a client's calls of the scripted server show: pure, from what arrived and how they ended."""

from __future__ import annotations

from typing import Any, cast

from scripted import SCRIPTS, WAIT_S, Call

# Fields of our own and of some providers, each given alone to the client's call or constructor.
OPTIONS: dict[str, Any] = {
    "instruction": "Prefer capitals.",
    "max_tokens_per_doc": 8,  # terms: some documents are cut, which is said in a warning
    "max_chunks_per_doc": 7,
    "truncate_query": True,
}
WITH = "with-"  # and the option's name: its script
EARLY = 0.95  # of a wait: timers are not exact
SHORT = 6  # characters: a string that could be anywhere


def found(calls: dict[str, list[Call]], outcome: dict[str, Any]) -> dict[str, Any]:
    """What is recorded of a client.

    Args:
        calls: by script, in the order of arrival.
        outcome: of the client's own script; `ends` says by script why its answer was not right,
            `saw` has by script the values of the right one as its caller sees it.

    Returns:
        As in manners.json; only `ends` of a client of which nothing arrived.
    """
    posts = {name: [c for c in these if c.method == "POST"] for name, these in calls.items()}
    if not posts.get("answer"):
        return {"ends": outcome["ends"]}
    plain = posts["answer"][0]
    every = [call for these in calls.values() for call in these]
    return {
        "tries": {name: len(posts.get(name, [])) for name in SCRIPTS if not name.endswith("-wait")},
        "retry-after": {
            status: _honours(posts, status, outcome["ends"].get(f"{status}-wait"))
            for status in ("429", "503")
        },
        "asks": sorted({f"{c.method} {c.path.partition('?')[0]}" for c in calls["answer"]}),
        "keeps path": all(c.kept_path for c in every),
        "key": sorted({c.key for c in every}),
        "options": {
            name: _sent(plain.body, posts.get(WITH + name, []))
            for name in (OPTIONS if "saw" in outcome else ())
        },
        "lost": _lost(posts, outcome.get("saw", {})),
    }


def _honours(posts: dict[str, list[Call]], status: str, end: str | None) -> str:
    """Whether a client waits for as long as it is told, and has its answer then."""
    told = posts.get(f"{status}-wait", [])
    if len(told) <= 1:
        return "asks once"
    if end:
        return "asks again, fails"
    if _wait(told) < EARLY * WAIT_S:
        return "no"
    bare = posts.get(status, [])
    return "yes" if len(bare) <= 1 or _wait(bare) < EARLY * WAIT_S else "waits longer anyway"


def _wait(calls: list[Call]) -> float:
    """Seconds between the first answer and the second call."""
    return calls[1].at - calls[0].answered


def _sent(plain: Any, calls: list[Call]) -> str:
    """Where a field arrived."""
    if not calls:
        return "not taken"
    before, after = dict(leaves(plain)), dict(leaves(calls[0].body))
    changed = sorted(p for p in after if before.get(p) != after[p])
    own = [p for p in changed if p.rpartition(".")[2].islower()]  # JavaScript gives it in two forms
    return ", ".join(own or changed) or "dropped"


def _lost(posts: dict[str, list[Call]], saw: dict[str, list[Any]]) -> list[str]:
    """The parts of the answers that the caller does not see, wherever it looks.

    A row is one of many: it may have been cut. An object of which nothing is seen is named as one.
    """
    parts: dict[str, bool] = {}
    for script in ("answer", *(WITH + name for name in OPTIONS)):
        seen = {_plain(value) for value in saw.get(script, [])}
        for path, value in leaves(posts[script][0].answer) if seen else ():
            name = path.rpartition(".")[2]
            vague = isinstance(value, bool) or value is None or name in ("index", "object")
            if not vague and not (isinstance(value, str) and len(value) < SHORT):
                parts[path] = parts.get(path, False) or _plain(value) in seen
    kept = [path for path, is_seen in parts.items() if is_seen]
    lost: dict[str, None] = {}
    for path in (path for path in parts if path not in kept):
        steps = path.split(".")
        above = (".".join(steps[:n]) for n in range(1, len(steps)))
        whole = (name for name in above if not any(k.startswith(f"{name}.") for k in kept))
        lost[next(whole, path)] = None
    return list(lost)


def _plain(value: Any) -> str:
    """A value as text: some clients make whole numbers floats."""
    return str(float(value) if isinstance(value, int) else value)


def leaves(value: Any, path: str = "") -> list[tuple[str, Any]]:
    """(path, value) of all that is no object or list: `results[].index`."""
    inner: list[tuple[str, Any]]
    if isinstance(value, dict):
        named = cast("dict[str, Any]", value)
        inner = [(f"{path}.{name}" if path else name, v) for name, v in named.items()]
    elif isinstance(value, list):
        inner = [(f"{path}[]", v) for v in cast("list[Any]", value)]
    else:
        return [(path, value)]
    return [leaf for place, v in inner for leaf in leaves(v, place)]
