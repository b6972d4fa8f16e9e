"""Reading stands alone: the package that clerks install knows nothing of the one that trains."""

import ast
from itertools import product

import pytest

from conftest import PROJECT, run_code

READING = sorted((PROJECT / "stages/vinreader").rglob("*.py"))


def imports(path) -> set[str]:
    """Modules that a file imports anywhere, with all parts of their names."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom):
            found |= {node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found


@pytest.mark.parametrize("path", READING, ids=lambda path: path.stem)
def test_reading_imports_nothing_of_training(path):
    banned = {"vinchecking", "vintraining", "tensorflow", "keras", "sklearn"}
    banned |= {"scipy", "yaml", "pandas", "matplotlib", "pydantic"}
    assert not {name.split(".")[0] for name in imports(path)} & banned


@pytest.mark.parametrize("package", ["vinreader", "vintraining"])
def test_no_module_leads_back_to_itself(package):
    folder = PROJECT / "stages"
    paths = {
        ".".join(path.relative_to(folder).with_suffix("").parts): path
        for path in (folder / package).rglob("*.py")
    }
    reached = {name: imports(path) & set(paths) for name, path in paths.items()}
    for middle, start in product(paths, paths):
        if middle in reached[start]:
            reached[start] |= reached[middle]
    assert not [name for name, others in reached.items() if name in others]


def test_reading_loads_nothing_of_the_check_station():
    """Which would take as long again as the rest of the reader to load."""
    assert not loaded_by("vinreader.reading") & {"starlette", "uvicorn", "sqlite3", "asyncio"}


def test_the_check_station_loads_nothing_that_reads_images():
    """Which would take several times as long as the rest of its beginning."""
    loaded = loaded_by("vinchecking.command", "vinchecking.app")
    assert {"sqlite3", "starlette"} <= loaded
    assert not loaded & {"numpy", "cv2", "PIL", "ai_edge_litert"}


def loaded_by(*modules: str) -> set[str]:
    """The modules that a process holds when it has imported these."""
    result = run_code(f"import sys, {', '.join(modules)}; print(*sys.modules)")
    assert result.returncode == 0, result.stderr
    return set(result.stdout.split())
