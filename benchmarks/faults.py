"""Kills every stage and predict.py at random moments, and fills the disk under them.

    python benchmarks/faults.py --kills 5

runs the workflow once undisturbed on a little embedded handwriting. Then each stage is killed
(SIGKILL, with the `dvc repro` that runs it) so many times at a random moment, and run again: it
must complete, and its outputs must be those of the undisturbed run to the byte. predict.py
likewise. Then each (without DVC) may only write files up to a random size, as on a full disk: one
clear error, no half file, and the next run completes. Exit status 1 when a promise is broken.
"""

import argparse
import contextlib
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import project  # noqa: F401 (finds what is imported below)
from vintraining.drawing.cards import draw_cards

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
RESULTS = ("predictions.csv", "vins.csv", "review.html")


class Task:
    """Something that can be run, disturbed, and run again: a stage or predict.py.

    `command` runs it as users do; `script` without DVC, which on a full disk has errors of its own.
    """

    def __init__(self, name: str, folder: Path, script: list, outputs: list[Path], command=None):
        self.name, self.folder, self.outputs = name, folder, outputs
        self.script, self.command = script, command or script
        self.seconds = 0.0
        self.expected: dict[str, bytes] = {}

    def start(self, command: list, largest: int | None = None) -> subprocess.Popen:
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
            sys.exit(f"{self.name} does not run:\n{said}")

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

    def undisturbed(self) -> None:
        start = time.monotonic()
        self.run()
        self.seconds, self.expected = time.monotonic() - start, self.contents()

    def kill(self, rng: random.Random) -> bool | None:
        """Kills it at a random moment; whether the next run is as it should, None: too late."""
        process = self.start(self.command)
        time.sleep(rng.uniform(0, self.seconds))
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return self.again() if process.returncode == -signal.SIGKILL else None

    def fill(self, rng: random.Random) -> tuple[bool, str]:
        """Lets it write small files only: (as it should?, what it said)."""
        before = self.contents()
        most = max(map(len, self.expected.values()))
        process = self.start(self.script, largest=rng.randrange(most))
        said, _ = process.communicate()
        after = self.contents()
        whole = all(data in (before.get(name), self.expected[name]) for name, data in after.items())
        clear = process.returncode > 0 and "File too large" in said and "Traceback" not in said
        same = self.again()  # in any case: the tasks after it need its outputs
        return clear and whole and same, said


def stage_tasks(folder: Path) -> list[Task]:
    """The stages of the workflow in `folder`, each run by DVC alone."""
    stages = yaml.safe_load((folder / "dvc.yaml").read_text("utf-8"))["stages"]
    return [
        Task(
            name,
            folder,
            [sys.executable, *told["cmd"].split()[1:]],
            [folder / (out if isinstance(out, str) else next(iter(out))) for out in told["outs"]],
            [DVC, "repro", "--force", "--single-item", name],
        )
        for name, told in stages.items()
    ]


def predict_task(folder: Path) -> Task:
    from PIL import Image

    for number, card in enumerate(draw_cards(12, seed=1)):
        place = folder / f"input/card-{number}"
        place.mkdir(parents=True)
        for box, image in enumerate(card.boxes):
            Image.fromarray(image).save(place / f"{box:02}.png")
    script = [
        sys.executable,
        folder / "stages/predict.py",
        "input",
        "--model",
        reproducible.PROJECT / "models/released/vin-reader.tflite",
    ]
    return Task("predict", folder, script, [folder / name for name in RESULTS])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=5, help="of each stage and of predict.py")
    parser.add_argument("--fills", type=int, default=2, help="full disks for each of them")
    parser.add_argument("--seed", type=int, default=1981)
    parser.add_argument("--only", nargs="+", help="names of the stages to try, or predict")
    options = parser.parse_args()
    rng = random.Random(options.seed)
    place = Path(tempfile.mkdtemp(prefix="faults-"))
    broken = killed = recovered = filled = clear = 0
    try:
        folder = place / "clone"
        reproducible.clone(folder, SETTINGS)
        tasks = [*stage_tasks(folder), predict_task(folder)]
        for task in tasks:
            task.undisturbed()
        lock = (folder / "dvc.lock").read_bytes()
        for task in tasks:
            if options.only and task.name not in options.only:
                continue
            done = good = tries = 0
            while done < options.kills and tries < 5 * options.kills:
                tries += 1
                outcome = task.kill(rng)
                done, good = done + (outcome is not None), good + bool(outcome)
            fills = [task.fill(rng) for _ in range(options.fills)]
            errors = sum(outcome for outcome, _ in fills)
            print(
                f"{task.name:9} {good} of {done} kills recovered with identical results; {errors} "
                f"of {len(fills)} full disks one clear error, then identical results",
                flush=True,
            )
            for outcome, said in fills:
                if not outcome:
                    print(f"  {said[-1500:]}")
            killed, recovered = killed + done, recovered + good
            filled, clear = filled + len(fills), clear + errors
        same = (folder / "dvc.lock").read_bytes() == lock
        print(
            f"all: {recovered} of {killed} kills, {clear} of {filled} full disks; "
            f"dvc.lock is {'the same' if same else 'ANOTHER'}"
        )
        broken = recovered < killed or clear < filled or not same
    finally:
        shutil.rmtree(place)
    sys.exit(bool(broken))


if __name__ == "__main__":
    main()
