"""Stage: what vehicle numbers look like, as statistics from which no number can be read.

The numbers of data/numbers/*.csv, column `vin`, are added to the released statistics; a list that
these were learned from counts once. With `numbers.base: none` they are learned from the files
alone, and metrics/numbers.json has how many bits a number of a source that was held out has under
what the others taught.
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

from vinreader.files import write_json, write_text
from vinreader.number import prior
from vinreader.spec import BOXES, UserError

FOLDER = Path("data/numbers")
MADE = Path("models") / prior.FILE
RELEASED = Path("models/released") / prior.FILE
METRICS = Path("metrics")
DRAWN = 2000  # numbers for the picture where there are no real ones


def held_out(real: number_statistics.Real, how: Numbers) -> dict[str, np.ndarray]:
    """float (N, 17): bits of the characters of each source's numbers; of sources that have fewer
    than `how.fold`, together."""
    return {
        name: number_statistics.bits(prior.build(number_statistics.learn(taught, how)), held)
        for name, taught, held in number_statistics.folds(real, how.fold)
    }


def write(table: dict[str, Any]) -> None:
    write_text(MADE, json.dumps(table, separators=(",", ":")) + "\n")


def with_released(released: dict[str, Any], how: Numbers) -> None:
    """The released counts with the choices of params.yaml, and with them the numbers of those files
    that they do not know."""
    real = number_statistics.read(FOLDER, without=released.get("lists", ()))
    released |= number_statistics.choices(how)
    table, figures = released, {"from": "released", "numbers": released["numbers"]}
    if real.vins:
        print(f"{len(real.vins):,} numbers of {FOLDER}/*.csv are added to the released statistics")
        if len(real.vins) > released["numbers"] / 2:
            print("(numbers.base: none learns from them alone; use it if they hold the released)")
        table = number_statistics.with_archive(released, real.vins, how)
        figures |= {"archive": len(real.vins), "refused": real.refused}
    else:
        print(f"no further numbers in {FOLDER}/*.csv: the released statistics are used")
    write(table)
    write_json(METRICS / "numbers.json", figures)
    taken = prior.build(table)
    vins = simulate.drawn(taken, DRAWN, np.random.default_rng(0))
    charts.bits(METRICS / "numbers.png", number_statistics.bits(taken, vins))


@stage
def main() -> None:
    how = load().numbers
    if how.base == "released":
        if not RELEASED.is_file():
            raise UserError(f"no statistics at {RELEASED}; numbers.base: none learns without them")
        return with_released(json.loads(RELEASED.read_text("utf-8")), how)
    real = number_statistics.read(FOLDER)
    table = number_statistics.learn(real.vins, how) | {"lists": real.lists}
    try:
        prior.build(table)
        bits = held_out(real, how)
    except ValueError:
        raise UserError(
            f"the {len(real.vins):,} numbers of {FOLDER}/*.csv are too few to learn from alone; "
            "numbers.base: released adds them to the released statistics"
        ) from None
    write(table)
    everyone = np.concatenate(list(bits.values())) if bits else np.zeros((0, BOXES))
    parts = {"all": everyone} | bits
    figures = {
        "from": "files",
        "numbers": len(real.vins),
        "refused": real.refused,
        "bytes": MADE.stat().st_size,
        "bits_held_out": {n: round(float(b.sum(axis=1).mean()), 2) for n, b in parts.items()},
    }
    write_json(METRICS / "numbers.json", figures)
    charts.bits(METRICS / "numbers.png", everyone)


if __name__ == "__main__":
    main()
