"""Not a stage: how many of the accepted cards are wrong, from those that a person checked blind.

    python stages/predict.py input/ --audit 598     (then check review.html, download vins.csv)
    python stages/audit.py vins.csv

Several tables are several batches. Writes audit.json and audit.png. The bound over all holds where
the same share of every batch was drawn.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

from vintraining.console import stage
from vintraining.hands import auditing
from vintraining.hands.corrections import CheckedRow, read_table
from vintraining.parameters import load
from vintraining.scores import charts

from vinreader.files import write_json
from vinreader.spec import UserError


def read_tables(paths: list[Path]) -> dict[str, list[CheckedRow]]:
    """The rows of each table by its path.

    Raises: UserError where a table is wrong, or no card of any was drawn and checked.
    """
    tables = {str(path): read_table(path) for path in paths}
    rows = [row for table in tables.values() for row in table]
    for path, table in tables.items():
        for row in table:
            try:
                float(row.row.confidence or 0)
            except ValueError:
                raise UserError(
                    f"{path}, line {row.line}: confidence {row.row.confidence!r} is no number; "
                    "download the table from the page anew"
                ) from None
    if not any(row.drawn for row in rows):
        raise UserError(
            "no card was drawn for the audit; read the folder with predict.py --audit 598, check "
            "those cards in review.html and download the table there"
        )
    if not any(row.drawn and row.decided for row in rows):
        raise UserError("none of the drawn cards was checked; type them in review.html first")
    return tables


def told(found: dict[str, Any]) -> str:
    """The result over all, for people."""
    all_, promised = found["all"], found["promised"]
    return (
        f"{all_['checked']:,} of {all_['accepted']:,} accepted cards checked blind: "
        f"{all_['wrong']:,} wrong ({all_['share_wrong']:.2%}); with {found['certainty']:.0%} "
        f"certainty no more than {all_['bound']:.2%} of all (promised: {promised:.2%})"
    )


def warning(found: dict[str, Any]) -> str:
    """What to do where the promise is not shown to be kept."""
    all_, promised = found["all"], found["promised"]
    lines = [f"WARNING: it is not shown that no more than {promised:.2%} are wrong"]
    if all_["share_wrong"] > promised:
        lines.append("more of the checked cards are wrong than was promised")
    if found["threshold_that_keeps_it"] is not None:
        lines.append(
            f"it is kept from confidence {found['threshold_that_keeps_it']} on, by "
            f"{found['accepted_with_it']:.1%} of these cards: send the others to a person"
        )
    elif all_["wrong"]:
        lines.append("no threshold is shown to keep it: send all cards to a person until one is")
    more = all_["further_cards_without_error_needed"]
    lines.append(f"{more:,} further cards without an error would show it")
    return "\n  ".join(lines)


@stage
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tables", type=Path, nargs="+", help="vins.csv that the page gave back")
    parser.add_argument("--output", type=Path, default=Path("audit.json"), help="file to write")
    options = parser.parse_args()
    promised = load().evaluate.target_risk
    found = auditing.report(read_tables(options.tables), promised)
    write_json(options.output, found)
    charts.audit(options.output.with_suffix(".png"), found)
    print(told(found))
    if still_open := found["all"]["drawn"] - found["all"]["checked"]:
        print(f"{still_open:,} drawn cards are not checked yet: these may be the hard ones")
    if not found["kept"]:
        print(warning(found), file=sys.stderr)
    print(f"see {options.output} and {options.output.with_suffix('.png')}")


if __name__ == "__main__":
    main()
