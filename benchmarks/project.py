"""What several benchmarks need: commands, parameters, and a folder in which stages can run."""

import functools
import os
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT / "stages"))

from vintraining import parameters  # noqa: E402 (found in stages/)

import yaml  # noqa: E402

from vinreader.spec import UserError  # noqa: E402

NEEDED = (  # of the last `dvc repro`, for the stages after `train`
    "data/raw",
    "data/split",
    "data/labelled",
    "data/numbers",
    "models/vin-reader.keras",
    "models/vin-numbers.json",
)


def call(*command: str | Path, cwd: Path, **environment: str) -> str:
    """Standard output of a command that succeeds; what else it says goes to the terminal."""
    result = subprocess.run(
        [*map(str, command)],
        cwd=cwd,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    if result.returncode:
        raise UserError(f"{' '.join(map(str, command))} failed in {cwd}:\n{result.stdout}")
    return result.stdout


def vin_reader(*arguments: str | Path, cwd: Path) -> str:
    command = (sys.executable, "-m", "vinreader", *arguments)
    return call(*command, cwd=cwd, PYTHONPATH=str(PROJECT / "stages"))


def change(path: Path, settings: list[str]) -> None:
    """Put `section.name=value` settings into a params.yaml.

    Raises:
        UserError: a setting is none, or its value is out of range.
    """
    values = yaml.safe_load(path.read_text("utf-8"))
    for setting in settings:
        name, _, value = setting.partition("=")
        *sections, last = name.split(".")
        try:
            place = functools.reduce(dict.__getitem__, sections, values)
            place[last] = yaml.safe_load(value)
        except (KeyError, TypeError, yaml.YAMLError):
            raise UserError(f"{setting!r} is no setting; write train.epochs=1") from None
    path.write_text(yaml.safe_dump(values), "utf-8")
    parameters.load(path)


def workspace(folder: Path, settings: list[str], without: tuple[str, ...] = ()) -> None:
    """Puts params.yaml with these settings into a folder, and links to what `NEEDED` names but for
    `without`.

    Raises:
        UserError: nothing has been trained here.
    """
    text = (PROJECT / parameters.PARAMS_FILE).read_text("utf-8")
    (folder / parameters.PARAMS_FILE).write_text(text, "utf-8")
    change(folder / parameters.PARAMS_FILE, settings)
    for path in NEEDED:
        if not (PROJECT / path).exists():
            raise UserError(f"no {path}; run dvc repro")
        (folder / path).parent.mkdir(exist_ok=True)
        if path not in without:
            (folder / path).symlink_to(PROJECT / path)


def stage_commands() -> dict[str, list[str | Path]]:
    """What each stage of dvc.yaml runs, from whatever folder it is run in."""
    stages = yaml.safe_load((PROJECT / "dvc.yaml").read_text("utf-8"))["stages"]
    words = {name: stage["cmd"].split()[1:] for name, stage in stages.items()}
    return {
        name: [sys.executable, PROJECT / script, *more] for name, (script, *more) in words.items()
    }


def run_stages(folder: Path, *names: str) -> None:
    """Runs stages in a folder, without DVC; what they print goes to standard error."""
    for name in names:
        sys.stderr.write(call(*stage_commands()[name], cwd=folder))
