"""The source can be read: short files and functions, no modules in a circle, one class a name."""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path

import pytest

SRC = Path(__file__).parents[1] / "src"
FILES = sorted(SRC.rglob("*.py"))
MOST_LINES = 420
MOST_LINES_OF_A_FUNCTION = 70  # with its decorators, signature and docstring


def functions(source: str) -> dict[str, int]:
    """`name:line` of every function, methods and inner ones too -> its lines."""
    found: dict[str, int] = {}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = min([node.lineno, *(each.lineno for each in node.decorator_list)])
            found[f"{node.name}:{first}"] = (node.end_lineno or first) - first + 1
    return found


def top_imports(source: str, package: str, known: set[str]) -> set[str]:
    """The modules of `known` that are imported when a source file is: not inside functions."""
    found: set[str] = set()
    waiting: list[ast.AST] = list(ast.parse(source).body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            found |= {base, *(f"{base}.{alias.name}" for alias in node.names)}
        waiting += ast.iter_child_nodes(node)
    return found & known


def circle(imports: dict[str, set[str]]) -> list[str]:
    """Modules of which none can be first; empty when there is an order."""
    left = {name: needs - {name} for name, needs in imports.items()}
    while free := [name for name, needs in left.items() if not needs & set(left)]:
        for name in free:
            del left[name]
    return sorted(left)


def module(path: Path) -> str:
    parts = path.relative_to(SRC).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@pytest.mark.parametrize(
    "path",
    FILES,
    ids=lambda path: str(path.relative_to(SRC)),
)
def test_a_file_and_its_functions_are_short_enough(path: Path) -> None:
    source = path.read_text("utf-8")
    assert len(source.splitlines()) <= MOST_LINES
    long = {n: lines for n, lines in functions(source).items() if lines > MOST_LINES_OF_A_FUNCTION}
    assert not long


def test_no_modules_import_each_other_in_a_circle() -> None:
    names = {module(path): path for path in FILES}
    imports: dict[str, set[str]] = {}
    for name, path in names.items():
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        inside = top_imports(path.read_text("utf-8"), package, set(names))
        # `from rerankd.web import x` runs the package's file as well, which may be what is read
        imports[name] = {each for each in inside if not f"{name}.".startswith(f"{each}.")}
    assert not circle(imports)


def classes(source: str) -> list[str]:
    """The public classes at a file's top."""
    tops = (node for node in ast.parse(source).body if isinstance(node, ast.ClassDef))
    return [node.name for node in tops if not node.name.startswith("_")]


def test_no_public_class_has_the_name_of_another() -> None:
    homes: dict[str, list[str]] = {}
    for path in FILES:
        for name in classes(path.read_text("utf-8")):
            homes.setdefault(name, []).append(module(path))
    assert len(homes) > 100
    assert not {name: where for name, where in homes.items() if len(where) > 1}


def test_a_circle_is_seen() -> None:
    sources = {
        "p.a": "from p import b",
        "p.b": "import p.c as c",
        "p.c": "if True:\n    from .a import x",
        "p.d": "from p.a import x",
        "p.e": "def f():\n    from p.e2 import x",
        "p.e2": "import p.e",
    }
    known = set(sources)
    imports = {name: top_imports(source, "p", known) for name, source in sources.items()}
    assert circle(imports) == ["p.a", "p.b", "p.c", "p.d"]
    assert circle(imports | {"p.c": set()}) == []


def test_the_lines_of_a_function_are_counted_with_all_that_is_its() -> None:
    source = (
        "@one\n@two\ndef f():\n    def g():\n        pass\n    return g\n\n\nasync def h(): ...\n"
    )
    assert functions(source) == {"f:1": 6, "g:4": 2, "h:9": 1}
