"""Stage: what vehicle numbers look like, as statistics from which no number can be read.

data/numbers/*.csv, column `vin`, becomes models/vin-numbers.json; without such files, or with too
few numbers to share anything, the released statistics are taken over. Where there are only those of
checked cards, these are added to them. metrics/numbers.json says from how many numbers, and how
many bits a number of a source that was held out has under what the others taught.
"""

import json
from pathlib import Path
from typing import Any

from vintraining.console import stage
from vintraining.numbers import simulate
from vintraining.numbers import statistics as number_statistics
from vintraining.parameters import Numbers, load
from vintraining.scores import charts

import numpy as np

from vinreader.files import write_bytes, write_json
from vinreader.number import prior
from vinreader.spec import BOXES, UserError

FOLDER = Path("data/numbers")
MADE = Path("models") / prior.FILE
RELEASED = Path("models/released") / prior.FILE
METRICS = Path("metrics")
DRAWN = 2000  # numbers for the picture where there are no real ones


def held_out(real: number_statistics.Real, how: Numbers) -> dict[str, np.ndarray]:
    """float (N, 17): bits of the characters of each source's numbers, for sources that have at
    least `how.fold` of them; the others are held out together."""
    found = {}
    for name, taught, held in number_statistics.folds(real, how.fold):
        table = number_statistics.learn(taught, how)
        found[name] = number_statistics.bits(prior.build(table), held)
    return found


def write(table: dict[str, Any]) -> int:
    """Writes the statistics; gives their size in bytes."""
    content = json.dumps(table, separators=(",", ":")).encode() + b"\n"
    write_bytes(MADE, content)
    return len(content)


def released(why: str, checked: tuple[str, ...], how: Numbers) -> None:
    """The released statistics are taken over, with the numbers of `checked` cards, and their
    picture is drawn from numbers of theirs.

    Raises: UserError if there are none.
    """
    if not RELEASED.is_file():
        raise UserError(f"{why}, and no statistics at {RELEASED}")
    table = json.loads(RELEASED.read_text("utf-8"))
    told = {"from": "released", "numbers": table["numbers"]}
    if checked:
        print(f"{why}: {len(checked):,} are added to the released statistics")
        table = number_statistics.with_archive(table, checked, how)
        write(table)
        told["archive"] = len(checked)
    else:
        print(f"{why}: the released statistics are used")
        write_bytes(MADE, RELEASED.read_bytes())
    write_json(METRICS / "numbers.json", told)
    taken = prior.build(table)
    vins = simulate.drawn(taken, DRAWN, np.random.default_rng(0))
    charts.bits(METRICS / "numbers.png", number_statistics.bits(taken, vins))


@stage
def main() -> None:
    how = load().numbers
    real = number_statistics.read(FOLDER)
    if not real.vins:
        return released(f"no numbers in {FOLDER}/*.csv", (), how)
    if real.only_checked:
        return released(f"numbers of checked cards only in {FOLDER}/*.csv", real.vins, how)
    table = number_statistics.learn(real.vins, how)
    try:
        prior.build(table)
        bits = held_out(real, how)
    except ValueError:
        return released(f"{len(real.vins)} numbers in {FOLDER}/*.csv are too few", real.vins, how)
    everyone = np.concatenate(list(bits.values())) if bits else np.zeros((0, BOXES))
    write_json(
        METRICS / "numbers.json",
        {
            "from": "files",
            "numbers": len(real.vins),
            "refused": real.refused,
            "bytes": write(table),
            "bits_held_out": {
                "all": round(float(everyone.sum(axis=1).mean()), 2),
            }
            | {name: round(float(b.sum(axis=1).mean()), 2) for name, b in bits.items()},
        },
    )
    charts.bits(METRICS / "numbers.png", everyone)


if __name__ == "__main__":
    main()
