"""The shape of the project: layers, sizes, declared dependencies, no dangerous calls, and packages that import lightly."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ALLOWED = {
    "search_space": set(),
    "tasks": set(),
    "meta_train": {"tasks", "search_space"},
    "discover": {"tasks", "search_space", "meta_train"},
}
PACKAGES = tuple(ALLOWED)
FILES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
TEST_FILES = sorted((ROOT / "tests").rglob("*.py")) + sorted((ROOT / "benchmarks").rglob("*.py"))
MAX_LINES = 400
MAX_UNDOCUMENTED = 80
DISTRIBUTIONS = {"sklearn": "scikit-learn", "orbax": "orbax-checkpoint"}
FORBIDDEN_CALLS = {"exec", "eval", "compile", "__import__"}
FORBIDDEN_MODULES = {"pickle", "dill", "cloudpickle", "marshal", "shelve"}


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def name_of(path: Path) -> str:
    """A file's module name."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path, top_level_only: bool = False) -> Iterator[str]:
    """Absolute names of the modules a file imports; `from a import b` yields "a.b" and "a"."""
    guarded = {id(n) for node in ast.walk(tree(path)) if _is_type_checking(node) for n in ast.walk(node)}
    lazy = {id(n) for node in ast.walk(tree(path)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) for n in ast.walk(node)}
    for node in ast.walk(tree(path)):
        if id(node) in guarded or (top_level_only and id(node) in lazy):
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide the layers"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def test_every_package_is_there() -> None:
    assert {path.relative_to(ROOT).parts[0] for path in FILES} == set(PACKAGES)


@pytest.mark.parametrize("package", PACKAGES)
def test_layers(package: str) -> None:
    foreign = set(PACKAGES) - ALLOWED[package] - {package}
    bad = {
        f"{path.relative_to(ROOT)} imports {name}"
        for path in (ROOT / package).rglob("*.py")
        for name in imports(path)
        if name.split(".")[0] in foreign | {"tests", "benchmarks"}
    }
    assert not bad


def test_no_import_cycles() -> None:
    """Over imports at module level; a function may import what a package's entry point must not load early."""
    modules = {name_of(path) for path in FILES}
    graph = {name_of(path): {n for n in imports(path, top_level_only=True) if n in modules} - {name_of(path)} for path in FILES}
    for name in graph:  # `from package import module` names the package too, which its own modules may do
        graph[name] = {n for n in graph[name] if not name.startswith(n + ".")}
    TopologicalSorter(graph).prepare()


@pytest.mark.parametrize("path", FILES + TEST_FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_sizes(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= MAX_LINES, f"{path}: {len(lines)} lines"
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef) and not ast.get_docstring(node):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            assert length <= MAX_UNDOCUMENTED, f"{path}:{node.lineno} {node.name}: {length} lines without a docstring"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_module_says_what_it_is(path: Path) -> None:
    assert ast.get_docstring(tree(path))


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_nothing_is_executed_or_unpickled(path: Path) -> None:
    calls = {n.func.id for n in ast.walk(tree(path)) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)}
    assert not calls & FORBIDDEN_CALLS
    assert not {name.split(".")[0] for name in imports(path)} & FORBIDDEN_MODULES


def _declared(section: str | None = None) -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    requirements = project["dependencies"] if section is None else extras[section]
    return {re.split(r"[\[<>=~! ]", requirement)[0].lower() for requirement in requirements}


def _third_party(files: list[Path]) -> set[str]:
    ours = {*PACKAGES, "tests", "benchmarks"}
    tops = {name.split(".")[0] for path in files for name in imports(path)}
    return {DISTRIBUTIONS.get(top, top) for top in tops if top not in sys.stdlib_module_names and top not in ours}


def test_every_import_is_declared() -> None:
    assert _third_party(FILES) <= _declared()
    assert _third_party(TEST_FILES) <= _declared() | _declared("tests")


def test_every_dependency_is_pinned() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = {line.partition("==")[0].lower() for line in lines if line and not line.startswith("#")}
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9._+!-]+", line) for line in lines if line and not line.startswith("#"))
    assert _declared() | _declared("tests") <= pins


@pytest.mark.parametrize("folder", sorted({path.parent for path in TEST_FILES if path.is_relative_to(ROOT / "tests")}), ids=str)
def test_test_folders_are_packages(folder: Path) -> None:
    """Otherwise two test files of the same name in different folders collide."""
    assert (folder / "__init__.py").exists()


@pytest.mark.parametrize(
    "module", ["discover", "discover.cli", "discover.cli.parse", "search_space", "tasks", "tasks.registry", "meta_train"]
)
def test_light_imports(module: str) -> None:
    code = f"import sys, {module}; print(*sorted({{'jax', 'optax', 'flax', 'sklearn', 'matplotlib'}} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
