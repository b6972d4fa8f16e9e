"""Reading stands alone: the package that clerks install knows nothing of the one that trains."""

import ast
import subprocess
import sys
from itertools import product

import pytest

from conftest import PROJECT, unmeasured

READING = sorted((PROJECT / "stages/vinreader").glob("*.py"))
TRAINING = sorted((PROJECT / "stages/vintraining").glob("*.py"))


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
    banned = [
        "vintraining",
        "tensorflow",
        "keras",
        "sklearn",
        "scipy",
        "yaml",
        "pandas",
        "matplotlib",
        "pydantic",
    ]
    used = {name.split(".")[0] for name in imports(path)}
    assert not used & set(banned)


@pytest.mark.parametrize("package", ["vinreader", "vintraining"])
def test_no_module_leads_back_to_itself(package):
    paths = {f"{package}.{p.stem}": p for p in (PROJECT / "stages" / package).glob("*.py")}
    reached = {name: imports(path) & set(paths) for name, path in paths.items()}
    for middle, start in product(paths, paths):
        if middle in reached[start]:
            reached[start] |= reached[middle]
    assert not [name for name, others in reached.items() if name in others]


def test_reading_loads_nothing_of_the_check_station():
    """Which would take as long again as the rest of the reader to load."""
    serving = "{'starlette', 'uvicorn', 'sqlite3', 'asyncio'}"
    code = f"import sys, vinreader.command; sys.exit(len({serving} & set(sys.modules)))"
    loaded = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT / "stages", env=unmeasured(), check=False
    )  # coverage has SQLite, too
    assert loaded.returncode == 0
