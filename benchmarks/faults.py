"""Attacks on the workflow and on reading, again and again at random moments: a table of promises.

    python benchmarks/faults.py --times 5
    python benchmarks/faults.py --only "reading killed" --times 30

The workflow runs once undisturbed on a little embedded handwriting. Then each stage, and the
reading of drawn cards, is killed (SIGKILL, with the `dvc repro` that runs it) at random moments and
run again: its outputs must be those of the undisturbed run to the byte. Then each (without DVC) may
write files up to a random size only, as on a full disk. Prints a line an attack; exit status 1 when
a promise is broken.
"""

import argparse
import contextlib
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from project import PROJECT, stage_commands, vin_reader

import reproducible
import yaml

SETTINGS = [
    "data.source=embedded",
    "data.embedded_per_class=20",
    "data.embedded_writers=10",
    "split.validation=0.3",
    "train.epochs=1",
    "train.widths=[4, 8, 8]",
    "train.batch_size=32",
    "split.embedded_share=0.05",
    "evaluate.cards=20",
]
DVC = Path(sys.executable).with_name("dvc")
TABLES = ("predictions.csv", "vins.csv", "review.html")
MODEL = PROJECT / "models/released/vin-reader.tflite"


@dataclass
class Task:
    """Something that was run undisturbed, and can be disturbed and run again.

    `command` runs it as users do; `script` without DVC, which on a full disk has errors of its own.
    """

    folder: Path
    script: list[str | Path]
    outputs: list[Path]
    command: list[str | Path]

    def __post_init__(self) -> None:
        start = time.monotonic()
        self.run()
        self.seconds, self.expected = time.monotonic() - start, self.contents()

    def start(self, command: list[str | Path], largest: int | None = None) -> subprocess.Popen[str]:
        """Starts a command that can write no file of more than `largest` bytes."""

        def limit() -> None:
            if largest is not None:
                resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))

        return subprocess.Popen(
            [*map(str, command)],
            cwd=self.folder,
            start_new_session=True,
            preexec_fn=limit,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=os.environ | {"PATH": f"{DVC.parent}{os.pathsep}{os.environ['PATH']}"},
        )

    def run(self) -> None:
        process = self.start(self.command)
        said, _ = process.communicate()
        if process.returncode:
            sys.exit(f"{self.command} does not run:\n{said}")

    def contents(self) -> dict[str, bytes]:
        """What there is of the outputs, temporary files of killed processes left out."""
        files = [f for out in self.outputs for f in (out.rglob("*") if out.is_dir() else [out])]
        return {
            str(file.relative_to(self.folder)): file.read_bytes()
            for file in files
            if file.is_file() and ".part." not in file.name
        }

    def again(self) -> bool:
        """Runs it as after a fault; whether its outputs are those of the undisturbed run."""
        self.run()
        return self.contents() == self.expected


# An attack gives whether its promise was kept, and what was said.


def killed(task: Task, rng: random.Random) -> tuple[bool, str]:
    """Killed at a random moment, it completes when it is run again, with the same outputs."""
    while True:
        process = task.start(task.command)
        time.sleep(rng.uniform(0, task.seconds))
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        said, _ = process.communicate()
        if process.returncode == -signal.SIGKILL:  # else it was too late
            return task.again(), said


def disk_full(task: Task, rng: random.Random) -> tuple[bool, str]:
    """On a full disk it ends with one clear error, and no file is half written."""
    before = task.contents()
    process = task.start(task.script, largest=rng.randrange(max(map(len, task.expected.values()))))
    said, _ = process.communicate()
    after = task.contents()
    whole = all(data in (before.get(name), task.expected[name]) for name, data in after.items())
    clear = process.returncode > 0 and "File too large" in said and "Traceback" not in said
    return task.again() and clear and whole, said  # run again in any case: others need its outputs


ATTACKS = {"killed": killed, "disk full": disk_full}


def all_tasks(folder: Path) -> Iterator[tuple[str, Task]]:
    """The stages of the workflow in `folder`, each run by DVC alone, and a reading."""
    found = yaml.safe_load((folder / "dvc.yaml").read_text("utf-8"))["stages"]
    for name, command in stage_commands().items():
        named = [out for kind in ("outs", "metrics", "plots") for out in found[name].get(kind, ())]
        outs = [folder / (out if isinstance(out, str) else next(iter(out))) for out in named]
        alone = [DVC, "repro", "--force", "--single-item", name]
        yield name, Task(folder, command, outs, alone)
    vin_reader("samples", "input", "--cards", "12", cwd=folder)
    script = [sys.executable, PROJECT / "stages/predict.py", "input", "--model", MODEL]
    yield "reading", Task(folder, script, [folder / name for name in TABLES], script)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=5, help="that each attack is tried")
    parser.add_argument("--seed", type=int, default=1981)
    parser.add_argument("--only", nargs="+", help="lines of the table, or beginnings of them")
    options = parser.parse_args()
    rng, broken = random.Random(options.seed), False
    with tempfile.TemporaryDirectory(prefix="faults-") as place:
        folder = Path(place) / "clone"
        reproducible.clone(folder, SETTINGS)
        tasks = dict(all_tasks(folder))
        lock = (folder / "dvc.lock").read_bytes()
        print("| attack | promise | kept |\n|---|---|---|")
        for name, task in tasks.items():
            for attack, work in ATTACKS.items():
                line = f"{name} {attack}"
                if options.only and not line.startswith(tuple(options.only)):
                    continue
                found = [work(task, rng) for _ in range(options.times)]
                kept = sum(good for good, _ in found)
                print(f"| {line} | {work.__doc__} | {kept} of {len(found)} |", flush=True)
                for said in (said for good, said in found if not good):
                    print(said[-1500:], file=sys.stderr)
                broken |= kept < len(found)
        if (folder / "dvc.lock").read_bytes() != lock:
            print("dvc.lock is another", file=sys.stderr)
            broken = True
    sys.exit(broken)


if __name__ == "__main__":
    main()
