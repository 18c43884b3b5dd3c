"""The rooms of the house, and that arrows between them point one way."""

from __future__ import annotations

import ast
from collections import defaultdict
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MOST_AT_THE_DOOR = 12


def modules() -> dict[str, Path]:
    """The files of bench/ and methods/ by the name that imports them."""
    files = sorted(file for folder in ("bench", "methods") for file in (ROOT / folder).rglob("*.py"))
    return {".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): file for file in files}


def imports(file: Path, known: dict[str, Path]) -> set[str]:
    """The modules that a file names in an import, wherever it stands: within a function, or for types only."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found & set(known)


def room(module: str) -> str:
    """A folder of bench/ with all in it; a file at its root is a room of its own, and so is all of methods/."""
    parts = module.split(".")
    return ".".join(parts[:2]) if parts[0] == "bench" else "methods"


def arrows() -> dict[str, set[str]]:
    known = modules()
    return {module: imports(file, known) - {module} for module, file in known.items()}


def one_way(graph: dict[str, set[str]]) -> None:
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"imports go in a circle: {' -> '.join(error.args[1])}")


def without_packages(graph: dict[str, set[str]]) -> dict[str, set[str]]:
    """Leave out what a package's own `__init__` gathers: its files name each other by their full names."""
    packages = {module for module in graph if any(other.startswith(f"{module}.") for other in graph)}
    return {module: targets - packages for module, targets in graph.items()}


def test_no_file_imports_one_that_imports_it_back() -> None:
    one_way(without_packages(arrows()))


def test_no_room_imports_one_that_imports_it_back() -> None:
    rooms: dict[str, set[str]] = defaultdict(set)
    for module, targets in arrows().items():
        rooms[room(module)] |= {room(target) for target in targets if target != "bench"} - {room(module)}
    one_way(rooms)


def test_methods_know_nothing_of_the_harness() -> None:
    for module, targets in arrows().items():
        if room(module) == "methods":
            assert not {target for target in targets if room(target) != "methods"}, module


def test_a_circle_is_seen() -> None:
    with pytest.raises(pytest.fail.Exception, match=r"bench\.a"):
        one_way({"bench.a": {"bench.b"}, "bench.b": {"bench.a"}})


def test_few_files_lie_at_the_root() -> None:
    assert len(list((ROOT / "bench").glob("*.py"))) <= MOST_AT_THE_DOOR
