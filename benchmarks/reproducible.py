"""Whether the workflow, run twice, gives the same bytes: data, weights, model, figures, plots.

    make verify-reproducible
    make verify-reproducible SETS="data.source=embedded data.embedded_per_class=60 train.epochs=1"
    python benchmarks/reproducible.py --processors haswell zen2 skylake single -- train.epochs=1 ...
    python benchmarks/reproducible.py --committed

Clones the last commit to two folders with different paths and runs `dvc repro --force` in each,
with a DVC cache, time zone and locale of its own, in the second as on another processor (made up
by processor.c: no AVX512, another maker, other caches and cores). Then both dvc.lock files, which
hold a hash of every output's bytes, must be the same. Exit status 1 if they are not. With
--processors there is a clone for each of them. With --committed there is one clone, in half the
time, whose dvc.lock must be the committed one, and which leaves nothing changed for git.
"""

import argparse
import os
import shutil
import sys
import tempfile
from pathlib import Path

from project import PROJECT, call, change
from vintraining.console import stage

import processors
import yaml

from vinreader.spec import UserError

# What may not matter: where the project lies, the clock's zone, the language, the processor.
HERE = {"TZ": "UTC", "LC_ALL": "C"}
ELSEWHERE = {"TZ": "Asia/Tokyo", "LC_ALL": "C.UTF-8"}
DEFAULT = "zen2"  # the processor of the second run


def clone(folder: Path, settings: list[str]) -> None:
    """The last commit in `folder`, with the EMNIST files and labelled folders of this workspace."""
    call("git", "clone", "--quiet", PROJECT, folder, cwd=PROJECT)
    for file in (PROJECT / "data/emnist").glob("*"):
        (folder / "data/emnist").mkdir(exist_ok=True)
        (folder / "data/emnist" / file.name).symlink_to(file.resolve())
    # Copied, for DVC does not follow links to folders.
    shutil.copytree(PROJECT / "data/labelled", folder / "data/labelled", dirs_exist_ok=True)
    if settings:
        change(folder / "params.yaml", settings)


def run(folder: Path, environment: dict[str, str], settings: Path) -> None:
    call(
        Path(sys.executable).with_name("dvc"),
        "repro",
        "--force",
        cwd=folder,
        PATH=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        DVC_NO_ANALYTICS="1",
        # No cache directory or remote from a configuration outside the clone.
        DVC_GLOBAL_CONFIG_DIR=str(settings),
        DVC_SYSTEM_CONFIG_DIR=str(settings),
        **environment,
    )


def compare(name: str, lock: str, other: str) -> list[str]:
    """The outputs whose hash differs between two dvc.lock files; prints how many are the same."""
    ours, theirs = (
        {out["path"]: out["md5"] for stage in found.values() for out in stage["outs"]}
        for found in (yaml.safe_load(text)["stages"] for text in (lock, other))
    )
    different = sorted(path for path in ours | theirs if ours.get(path) != theirs.get(path))
    print(f"{name}: {len(ours.keys() - different)} of {len(ours)} outputs are the same")
    if lock != other and not different:
        different = ["dvc.lock: dependencies or parameters"]
    return [f"{name}: {path}" for path in different]


def elsewhere(place: Path, options: argparse.Namespace) -> dict[str, dict[str, str]]:
    """The other runs: a name and what to add to the environment for its processor."""
    if options.committed:
        return {"second": {}}
    try:
        library = processors.build(place)
    except UserError as error:
        if options.processors != [DEFAULT]:
            raise
        print(f"Both runs see this processor: {error}")
        return {"second": {}}
    return {name: processors.environment(library, name) for name in options.processors}


@stage
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("settings", nargs="*", help="other parameters: train.epochs=1 …")
    parser.add_argument(
        "--committed",
        action="store_true",
        help="one run only, compared with the committed dvc.lock",
    )
    parser.add_argument(
        "--processors",
        nargs="+",
        choices=processors.NAMES,
        default=[DEFAULT],
        help="run as on each of these processors and compare with this one",
    )
    options = parser.parse_args()
    if options.committed and options.settings:
        parser.error("the committed dvc.lock belongs to the committed parameters")
    if call("git", "status", "--porcelain", "--untracked-files=no", cwd=PROJECT):
        print("what is not committed is not in the clones", file=sys.stderr)
    committed = call("git", "show", "HEAD:dvc.lock", cwd=PROJECT)
    place = Path(tempfile.mkdtemp(prefix="reproducible-"))
    try:
        places = {} if options.committed else {place / "first": HERE}
        for name, processor in elsewhere(place, options).items():
            places[place / "another path" / name] = ELSEWHERE | processor
        for folder, environment in places.items():
            print(f"Running the workflow in {folder}", flush=True)
            clone(folder, options.settings)
            run(folder, environment, place / "no settings")
        locks = {folder.parts[-1]: (folder / "dvc.lock").read_text("utf-8") for folder in places}
        first = locks.pop(next(iter(locks))) if not options.committed else committed
        different = [line for name in locks for line in compare(name, locks[name], first)]
        if options.committed:
            status = call("git", "status", "--porcelain", cwd=next(iter(places)))
            different += [f"git status is not clean: {line}" for line in status.splitlines()]
        elif not options.settings and first != committed:
            print("The committed dvc.lock is another: packages or data changed")
    finally:
        shutil.rmtree(place)
    if different:
        raise UserError("the runs differ:\n  " + "\n  ".join(different))


if __name__ == "__main__":
    main()
