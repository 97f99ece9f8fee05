"""Each folder imports only what the table allows, so data flows one way."""

from __future__ import annotations

import ast
import functools
import importlib.util
from pathlib import Path

import pytest

SRC = Path(__file__).parent.parent / "src" / "rerankd"
# Folder or module below rerankd -> which others it may import; "rerankd" is the package itself.
ALLOWED: dict[str, set[str]] = {
    "core": set(),
    "accounts": {"core"},
    "builtin": set(),
    "extras": {"core"},
    "imports": {"access", "core"},
    "settings": {"core"},
    "telemetry": {"core"},
    "engines": {"core"},
    "dialects": {"core"},
    "media": {"core", "extras", "settings"},
    "access": {"core"},
    "store": {"access", "accounts", "core", "extras", "settings", "telemetry"},
    "models": {"core", "engines"},
    "service": {"accounts", "core", "engines", "media", "models", "settings", "telemetry"},
    "gateway": {
        *("access", "accounts", "core", "dialects", "media", "models", "service", "settings"),
        "telemetry",
    },
    "workers": {"core", "engines", "models", "service", "settings", "telemetry"},
    "measure": {"core", "engines", "models", "service", "extras"},
    "bulk": {
        *("accounts", "core", "dialects", "engines", "extras", "gateway", "measure", "media"),
        *("models", "service"),
    },
    "web": {
        *("access", "accounts", "core", "dialects", "extras", "gateway", "media", "models"),
        *("service", "settings", "store", "telemetry", "rerankd", "workers"),
    },
    "adapters": {"core", "dialects", "extras", "settings", "telemetry", "web"},
    "cli": {
        *("access", "accounts", "adapters", "bulk", "core", "dialects", "engines", "gateway"),
        *("imports", "measure", "models", "service", "store", "web", "settings", "extras"),
        *("rerankd", "telemetry"),
    },
    "public": {"core", "service"},
    "__init__": {"public"},
    "__main__": {"cli"},
}
# Narrow doors: of the first folder only these files import the second.
ONLY: dict[tuple[str, str], set[str]] = {
    ("adapters", "dialects"): {"replica"},
    ("adapters", "extras"): {"replica"},
    ("adapters", "telemetry"): {"replica"},
    ("adapters", "web"): {"edge", "load", "replica"},
    ("cli", "adapters"): {"ray"},
    ("cli", "engines"): {"bench"},
    ("cli", "dialects"): {"upstream"},
    ("cli", "gateway"): {"upstream"},
    ("cli", "bulk"): {"bulk", "bulk_progress", "bulk_run", "bulk_scorers"},
    ("cli", "service"): {"bulk_scorers", "rank", "upstream"},
    ("cli", "web"): {"bulk_scorers", "config", "serve", "upstream"},
    ("gateway", "access"): {"bill", "router", "upstream"},
    ("gateway", "accounts"): {"bill", "doors", "plan", "router"},
    ("gateway", "media"): {"address", "fleet", "peer", "webhook", "transport"},
    ("gateway", "models"): {"routes"},
    ("gateway", "service"): {"bill", "doors", "plan", "router", "stages", "standin", "switch"},
    ("gateway", "settings"): {"doors", "plan", "switch", "webhook"},
    ("gateway", "telemetry"): {"shadow", "upstream", "webhook"},
    ("service", "accounts"): {"base"},
    ("service", "engines"): {
        *("changes", "engine_calls", "local", "reranker", "scheduler", "work"),
    },
    ("service", "media"): {"local", "pipeline"},
    ("store", "access"): {
        *("accounts", "key_feed", "key_rows", "keys", "limit_counts", "shared", "teams"),
    },
    ("store", "accounts"): {
        *("accounts", "budget_counts", "budgets", "money", "prices", "shared", "verify"),
    },
    ("store", "settings"): {"accounts"},
    ("web", "accounts"): {"alerts", "budgets", "money", "own_usage", "prices", "reload", "state"},
    ("web", "store"): {
        *("answers", "app", "assemble", "desk", "keys", "money", "mount", "state", "teams"),
        # all but assemble and state: web/admin
        *("live", "own_usage", "server", "usage", "usage_answers", "usage_forms"),
    },
    ("web", "extras"): {"__init__", "assemble"},  # of web/console/oidc
    ("web", "gateway"): {
        *(
            "alerts",
            "assemble",
            "endpoints",
            "model_list",
            "models",
            "own_usage",
            "reload",
            "server",
            "state",
        ),
        *("configured", "issuer"),  # web/console/oidc
    },
    ("web", "media"): {"assemble"},
    ("web", "models"): {"assemble", "models", "opening", "reload", "server"},
    ("web", "workers"): {"assemble"},
    ("workers", "engines"): {"process", "team"},
    ("workers", "models"): {"forms", "messages", "precisions", "process"},
}
# These name what they import in a variable: dialects find each other; extras take any library.
DYNAMIC = {"dialects/registry.py", "extras.py"}
# What core may use beside itself: nothing that reads a clock, a file, a device or a random number.
PURE = {
    *("__future__", "abc", "bisect", "collections", "dataclasses", "enum", "functools", "heapq"),
    *("itertools", "math", "msgspec", "numpy", "operator", "re", "statistics", "types", "typing"),
    *("unicodedata",),
}
FILES = sorted(SRC.rglob("*.py"))


def modules(source: str, package: str) -> set[str]:
    """Every module, or name of a module, that a source file imports; package: where it stands.

    Dynamic imports count; "?" is one whose name is no constant.
    """
    found: set[str] = set()
    importers: set[str] = {"__import__"}
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            base = importlib.util.resolve_name(base, package)
            found |= {f"{base}.{alias.name}" for alias in node.names}
            importers |= {a.asname or a.name for a in node.names if a.name == "import_module"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and node.args and _name(node.func) in importers:
            match node.args[0]:
                case ast.Constant(value=str(said)):
                    found.add(importlib.util.resolve_name(said, package))
                case _:
                    found.add("?")
    return found


def _name(function: ast.expr) -> str:
    """`f` and `a.b.import_module` as the caller would know them."""
    if isinstance(function, ast.Attribute):
        return "__import__" if function.attr == "import_module" else ""
    return function.id if isinstance(function, ast.Name) else ""


def parts(imported: set[str]) -> set[str]:
    """The folders or modules below rerankd among them."""
    ours = [name.split(".") for name in imported if name.split(".")[0] == "rerankd"]
    return {name[1] if name[1:2] and name[1] in ALLOWED else "rerankd" for name in ours}


def place(path: Path) -> tuple[str, str]:
    """(key of the table, package) of a file."""
    relative = path.relative_to(SRC)
    key = relative.parts[0] if len(relative.parts) > 1 else relative.stem
    return key, ".".join(["rerankd", *relative.parts[:-1]])


def test_the_table_names_every_folder_and_module() -> None:
    assert {place(path)[0] for path in FILES} == set(ALLOWED)


def test_the_table_has_no_circle() -> None:
    left = {part: needs - {"rerankd"} for part, needs in ALLOWED.items()}
    while left:
        free = {part for part, needs in left.items() if not needs & set(left)}
        assert free, f"a circle among {sorted(left)}"
        left = {part: needs for part, needs in left.items() if part not in free}


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SRC)))
def test_a_file_imports_only_what_the_table_allows(path: Path) -> None:
    key, package = place(path)
    imported = modules(path.read_text("utf-8"), package)
    assert parts(imported) - {key} <= ALLOWED[key]
    assert ("?" in imported) == (str(path.relative_to(SRC)) in DYNAMIC)


@functools.cache  # every narrow door asks, and all files are read for it
def arrows() -> dict[tuple[str, str], set[str]]:
    """(folder, other folder that it imports) -> names of the files that do."""
    found: dict[tuple[str, str], set[str]] = {}
    for path in FILES:
        key, package = place(path)
        for other in parts(modules(path.read_text("utf-8"), package)) - {key}:
            found.setdefault((key, other), set()).add(path.stem)
    return found


def test_every_arrow_of_the_table_is_used() -> None:
    assert set(arrows()) == {(key, other) for key, others in ALLOWED.items() for other in others}


@pytest.mark.parametrize("arrow", ONLY, ids=" to ".join)
def test_a_narrow_door_stays_narrow(arrow: tuple[str, str]) -> None:
    assert arrows()[arrow] == ONLY[arrow]


@pytest.mark.parametrize(
    "folder",
    sorted(
        k for k, v in ALLOWED.items() if "settings" in v and k not in ("adapters", "web", "cli")
    ),
)
def test_who_reads_settings_below_the_server_sees_their_schema_only(folder: str) -> None:
    for path in sorted((SRC / folder).rglob("*.py")):
        imported = modules(path.read_text("utf-8"), place(path)[1])
        said = {name for name in imported if name.startswith("rerankd.settings")}
        assert all(name.startswith("rerankd.settings.schema") for name in said)


@pytest.mark.parametrize("path", sorted((SRC / "core").rglob("*.py")), ids=lambda p: p.name)
def test_core_is_pure(path: Path) -> None:
    imported = modules(path.read_text("utf-8"), "rerankd.core")
    assert {name.split(".")[0] for name in imported} - PURE <= {"rerankd"}


@pytest.mark.parametrize(
    ("source", "seen"),
    [
        ("from rerankd.web.paths import x", {"web"}),
        ("from rerankd.web import paths", {"web"}),
        ("from rerankd import web", {"web"}),
        ("from rerankd import __version__", {"rerankd"}),
        ("import rerankd", {"rerankd"}),
        ("import rerankd.web.paths", {"web"}),
        ("import rerankd.web.paths as p", {"web"}),
        ("import rerankd.telemetry", {"telemetry"}),
        ("from ..web import paths", {"web"}),
        ("from .. import telemetry", {"telemetry"}),
        ("from . import rank", {"core"}),
        ("def f():\n    from rerankd.web import paths", {"web"}),
        ("if TYPE_CHECKING:\n    import rerankd.web.paths", {"web"}),
        ("import importlib\nimportlib.import_module('rerankd.web')", {"web"}),
        ("import importlib as i\ni.import_module('rerankd.web')", {"web"}),
        ("from importlib import import_module as f\nf('rerankd.web')", {"web"}),
        ("__import__('rerankd.web.paths')", {"web"}),
    ],
)
def test_every_way_to_import_is_seen(source: str, seen: set[str]) -> None:
    assert parts(modules(source, "rerankd.core")) == seen


@pytest.mark.parametrize(
    "source", ["import importlib\nimportlib.import_module(name)", "__import__('rerankd.' + name)"]
)
def test_an_import_by_a_variable_is_seen(source: str) -> None:
    assert "?" in modules(source, "rerankd.core")
