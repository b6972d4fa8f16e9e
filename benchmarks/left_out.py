"""What the next archive will see: each labelled folder left out of training once, then tested on.

    python benchmarks/left_out.py
    python benchmarks/left_out.py finetune.steps=2000

For each folder that finetune.labelled names and data/labelled holds, the stages finetune and
evaluate run in a folder of their own, with this folder for testing only: neither weights nor
temperature nor threshold have seen a character of it. Takes data and trained network of the last
`dvc repro` and prints the rows of metrics/transfer.json as a table. Settings are other parameters.
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from project import PROJECT, run_stages, workspace
from vintraining import parameters
from vintraining.console import stage

import yaml

from vinreader.spec import UserError

LABELLED = PROJECT / "data/labelled"


def without(name: str, settings: list[str], folder: Path) -> dict[str, Any]:
    """metrics/transfer.json of a training that this labelled folder had no part in."""
    workspace(folder, settings)
    values = yaml.safe_load((folder / parameters.PARAMS_FILE).read_text("utf-8"))
    del values["finetune"]["labelled"][name]
    (folder / parameters.PARAMS_FILE).write_text(yaml.safe_dump(values), "utf-8")
    run_stages(folder, "finetune", "evaluate")
    found: dict[str, Any] = json.loads((folder / "metrics/transfer.json").read_text("utf-8"))
    return found


def table(left_out: str, transfer: dict[str, Any]) -> None:
    for name, row in transfer["sets"].items():
        low, high = row["accepted_error_95_percent_interval"]
        print(
            f"| {left_out} | {name} | {row['readings']:,} | {row['balanced_accuracy']:.2%} | "
            f"{row['kind_known']:.2%} | {row['ece']:.2%} | {row['accepted']:.1%} | "
            f"{row['accepted_error']:.2%} ({low:.2%} to {high:.2%}) |",
            flush=True,
        )


@stage
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("settings", nargs="*", help="other parameters: finetune.steps=2000 …")
    options = parser.parse_args()
    named = parameters.load(PROJECT / parameters.PARAMS_FILE).finetune.labelled
    names = [name for name in named if (LABELLED / name).is_dir()]
    if not names:
        raise UserError(f"{LABELLED} holds no folder that finetune.labelled names")
    print("| left out | set | characters | right among 33 | kind known | ece | accepted | wrong |")
    print("|---|---|---|---|---|---|---|---|")
    for name in names:
        with tempfile.TemporaryDirectory(prefix="left-out-") as folder:
            table(name, without(name, options.settings, Path(folder)))


if __name__ == "__main__":
    main()
