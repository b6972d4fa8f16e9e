"""The command `audit`: how many of the accepted cards are wrong, from those checked blind.

    vin-reader read input/ --audit 598     (then check review.html, download vins.csv)
    vin-reader audit vins.csv

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

from vinreader.console import choose, text
from vinreader.files import write_json
from vinreader.options import OPTIONS
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
        raise UserError(text("none_drawn"))
    if not any(row.drawn and row.decided for row in rows):
        raise UserError(text("none_checked"))
    return tables


def told(found: dict[str, Any]) -> str:
    """The result over all, for people."""
    counts = {name: found["all"][name] for name in ("checked", "accepted", "wrong", "bound")}
    return text(
        "audited",
        share=found["all"]["share_wrong"],
        certainty=found["certainty"],
        promised=found["promised"],
        **counts,
    )


def warning(found: dict[str, Any]) -> str:
    """What to do where the promise is not shown to be kept."""
    all_, promised = found["all"], found["promised"]
    lines = [text("not_shown", promised=promised)]
    if all_["share_wrong"] > promised:
        lines.append(text("more_wrong"))
    threshold, share = found["threshold_that_keeps_it"], found["accepted_with_it"]
    if threshold is not None:
        lines.append(text("threshold", threshold=threshold, share=share))
    elif all_["wrong"]:
        lines.append(text("no_threshold"))
    lines.append(text("further_cards", more=all_["further_cards_without_error_needed"]))
    return "\n  ".join(lines)


@stage
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tables", type=Path, nargs="+", help="vins.csv that the page gave back")
    parser.add_argument("--output", type=Path, default=Path("audit.json"), help="file to write")
    parser.add_argument("--language", **OPTIONS["--language"])
    options = parser.parse_args()
    choose(options.language)
    promised = load().evaluate.target_risk
    found = auditing.report(read_tables(options.tables), promised)
    write_json(options.output, found)
    charts.audit(options.output.with_suffix(".png"), found)
    print(told(found))
    if still_open := found["all"]["drawn"] - found["all"]["checked"]:
        print(text("still_open", cards=still_open))
    if not found["kept"]:
        print(warning(found), file=sys.stderr)
    print(text("see", path=f"{options.output}, {options.output.with_suffix('.png')}"))
