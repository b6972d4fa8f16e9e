"""The project as strangers install it: with the pip that a new environment comes with, and no more.

Nothing here uses uv, which does not look at a package's upper bound of Python's version.
"""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet

from conftest import PROJECT, rows

SCRIPTS = "Scripts" if os.name == "nt" else "bin"
VERSIONS = ("3.11", "3.12", "3.13")
OPTIONS = {
    "PYTHONNOUSERSITE": "1",
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "PIP_RETRIES": "10",  # a slow or busy index is none of ours
    "PIP_DEFAULT_TIMEOUT": "60",
}
REQUIREMENTS = sorted(PROJECT.glob("requirements*.txt"))


def run(*command: object, cwd: Path) -> str:
    """Standard output of a command that succeeds, whose environment says nothing of this one's."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTHON", "VIRTUAL_ENV", "COV"))
    }
    result = subprocess.run(
        list(map(str, command)),
        cwd=cwd,
        env=environment | OPTIONS,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout[-1000:] + result.stderr[-3000:]
    return result.stdout


def installed(place: Path, *what: object, cwd: Path) -> Path:
    """The folder of commands of a new environment into which pip has installed something."""
    run(sys.executable, "-m", "venv", place, cwd=cwd)
    pip = place / SCRIPTS / "python", "-m", "pip", "install", "--quiet"
    run(*pip, "--no-compile", *what, cwd=cwd)  # of all that is installed, little is run
    return place / SCRIPTS


@pytest.fixture(scope="module")
def checkout(tmp_path_factory) -> Path:
    """The tracked files as they are now, and nothing else."""
    folder = tmp_path_factory.mktemp("checkout")
    names = run("git", "ls-files", "-z", cwd=PROJECT).split("\0")[:-1]
    for name in filter(lambda name: (PROJECT / name).is_file(), names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes((PROJECT / name).read_bytes())
    return folder


def test_a_clerk_s_environment_draws_cards_and_reads_them(checkout, tmp_path):
    commands = installed(tmp_path / "venv", "-r", "requirements-reader.txt", cwd=checkout)

    def python(*arguments: object) -> str:
        return run(commands / "python", *arguments, cwd=checkout)

    python("stages/vinreader", "samples", "input/")
    cards = len(list((checkout / "input").glob("card-*")))
    assert cards and f"{17 * cards} boxes" in python("stages/predict.py", "input/")
    assert len(rows(checkout / "predictions.csv")) == 17 * cards
    assert len(rows(checkout / "vins.csv")) == cards
    lines = python("stages/predict.py", "input/", "--format", "ascii").splitlines()
    assert lines[0].endswith(", card-01/01.png") and len(lines) <= 17 * cards
    python("stages/predict.py", "input/", "--debug", "seen")
    assert len(list((checkout / "seen").rglob("*.png"))) == 17 * cards
    assert "fingerprint" in python("stages/predict.py", "--version")


def test_the_package_is_installed_whole_and_alone(checkout, tmp_path):
    commands = installed(tmp_path / "venv", ".", cwd=checkout)
    run(sys.executable, PROJECT / "stages/vinreader", "samples", tmp_path / "input", cwd=tmp_path)
    found = run(
        commands / "python", "-c", "import vinreader; print(vinreader.__file__)", cwd=tmp_path
    )
    package = Path(found.strip()).parent
    assert package.is_relative_to(tmp_path / "venv")
    source = PROJECT / "stages/vinreader"
    for folder, some in (("", "py.typed"), ("page", "page.html"), ("texts", "console.uk.json")):
        files = {path.name for path in (source / folder).iterdir() if path.is_file()}
        assert some in files
        assert files == {path.name for path in (package / folder).iterdir() if path.is_file()}
    assert not (package.parent / "vintraining").exists()
    run(commands / "python", "-m", "doctest", package / "__init__.py", cwd=tmp_path)
    cards = len(list((tmp_path / "input").glob("card-*")))
    assert f"{17 * cards} boxes" in run(commands / "vin-reader", "input", cwd=tmp_path)
    alone = subprocess.run([commands / "vin-reader", "collect"], capture_output=True, text=True)
    assert alone.returncode == 2 and "needs the project's folder" in alone.stderr
    assert len(rows(tmp_path / "vins.csv")) == cards


@pytest.fixture(scope="module")
def dry_run(tmp_path_factory) -> Callable[..., str]:
    """Lets pip find a file of every pinned package, look whether it takes it, and hash it."""
    folder = tmp_path_factory.mktemp("pip")
    run(sys.executable, "-m", "venv", folder / "venv", cwd=folder)
    pip = folder / "venv" / SCRIPTS / "python", "-m", "pip", "install", "--quiet", "--dry-run"
    return partial(run, *pip, "--no-deps", "--require-hashes", "-r", cwd=folder)


def test_pip_takes_every_package_of_the_project(dry_run):
    dry_run(PROJECT / "requirements-dev.txt")


@pytest.mark.parametrize("version", VERSIONS)
def test_pip_takes_what_reading_needs_for_every_python(dry_run, version, tmp_path):
    options = "--python-version", version, "--only-binary=:all:", "--target", tmp_path / "there"
    dry_run(PROJECT / "requirements-reader.txt", *options)


@pytest.mark.parametrize("requirements", REQUIREMENTS, ids=lambda path: path.stem)
def test_what_is_installed_is_what_is_tested(requirements):
    """Version and hashes of every package are those of requirements-dev.txt."""
    assert pins(requirements).items() <= pins(PROJECT / "requirements-dev.txt").items()


def test_every_package_takes_every_python():
    """uv, with which the tests are installed, resolves and installs without the upper bounds."""
    for package in pins(PROJECT / "requirements-dev.txt"):
        try:
            metadata = distribution(package.split("==")[0]).metadata
        except PackageNotFoundError:
            continue  # for another system or Python
        bounds = SpecifierSet(metadata["Requires-Python"] or "")
        assert all(f"{version}.9" in bounds for version in VERSIONS), package


def pins(requirements: Path) -> dict[str, set[str]]:
    """`name==version` of every package, and its hashes."""
    found: dict[str, set[str]] = {}
    for line in requirements.read_text("utf-8").splitlines():
        if "==" in line and not line.startswith(" "):
            package = line.split()[0]
            found[package] = set()
        elif hash := re.search(r"--hash=(\S+)", line):
            found[package].add(hash[1])
    return found


def test_the_file_for_a_double_click_does_what_works_on_a_command_line(checkout, tmp_path):
    """As far as that shows without Windows: its jumps, its files, and the command that reads."""
    content = (checkout / "VIN-reader.bat").read_bytes()
    assert content.count(b"\n") == content.count(b"\r\n") and content.startswith(b"@echo off")
    text = content.decode("utf-8")
    assert set(re.findall(r"goto (\w+)", text)) == set(re.findall(r"(?m)^:(\w+)", text))
    assert [version in text for version in VERSIONS] == [True] * 3
    assert all((checkout / name).is_file() for name in re.findall(r"-r (\S+)", text))
    (command,) = re.findall(r'(?m)^"%PY%" (stages.*?)\r?$', text)
    folder = tmp_path / "my cards"
    run(sys.executable, "stages/vinreader", "samples", folder, "--cards", 1, cwd=checkout)
    values = {"%FOLDER%": str(folder), "%RESULTS%": f"{folder} VIN", "\\": "/"}
    for name, value in values.items():
        command = command.replace(name, value)
    run(sys.executable, *shlex.split(command), cwd=checkout)
    assert len(rows(tmp_path / "my cards VIN/vins.csv")) == 1
    assert (tmp_path / "my cards VIN/review.html").is_file()
