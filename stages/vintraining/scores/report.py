"""What the stage `evaluate` writes into metrics/: tables and pictures of what was read."""

from pathlib import Path
from typing import Any

from vintraining.data import dataset
from vintraining.data.dataset import Characters
from vintraining.hands import labelled
from vintraining.parameters import Parameters
from vintraining.scores import charts, figures, truth
from vintraining.scores.figures import Read

import numpy as np
import pandas as pd

from vinreader.files import write_csv, write_json
from vinreader.spec import CHARACTERS

METRICS = Path("metrics")
PICTURES = METRICS / "pictures"  # hold test images: in DVC's cache, never in git


def characters(
    source: str,
    test: Characters,
    read: dict[str, Read],
    frequencies: np.ndarray,
    threshold: float,
    parameters: Parameters,
) -> dict[str, Any]:
    """evaluation.json, and tables and pictures of what test characters are taken for; gives their
    figures. read: by part; frequencies: of the classes in training, (33,)."""
    how, told = parameters.evaluate, read["test"]
    found = {part: figures.headline(one, frequencies, threshold, how) for part, one in read.items()}
    recalls = figures.recall(told.predicted, told.labels).round(4).tolist()
    recall = dict(zip(CHARACTERS, recalls, strict=True))
    further = {"validation": found["validation"], "recall": recall}
    write_json(METRICS / "evaluation.json", {"source": source} | found["test"] | further)
    write_json(METRICS / "confusion.json", figures.pairs(told.predicted, told.labels, how.pairs))
    names = np.array(list(CHARACTERS))
    confusion = {"actual": names[told.labels], "predicted": names[told.predicted]}
    write_csv(METRICS / "confusion.csv", pd.DataFrame(confusion))
    rng = np.random.default_rng(parameters.seed)
    each = [rng.permutation(np.flatnonzero(told.labels == c))[:4] for c in range(len(CHARACTERS))]
    charts.characters(
        PICTURES / "test.png", test, told.probabilities, np.concatenate(each), "Test characters"
    )
    weights = dataset.class_weights(told.labels)
    reliability = figures.reliability(told.confidence, told.right, weights, how.bins)
    charts.reliability(METRICS / "reliability.png", reliability, "Reliability on test characters")
    coverage = figures.coverage(told.confidence, ~told.right, weights)
    charts.coverage(METRICS / "coverage.png", *coverage, threshold)
    return found["test"]


def sets(
    tests: dict[str, Characters], read: dict[str, Read], threshold: float, parameters: Parameters
) -> dict[str, Any]:
    """transfer.json, its plot, and of each test set a picture of the surest errors; gives the table
    by name of the set."""
    how, record, table = parameters.evaluate, labelled.load_record(), {}
    for name, one in read.items():
        folder = record.get(name)
        writers = labelled.load_groups(name, "test") if folder else None
        table[name] = figures.figures(one, threshold, how.bins, writers)
        if (wrong := truth.is_wrong(tests[name].images)).any():
            clean = Read(one.probabilities[~wrong], one.labels[~wrong])
            table[name]["without_mislabelled"] = {"left_out": int(wrong.sum())} | figures.figures(
                clean, threshold, how.bins
            )
        if folder:
            table[name] |= {key: folder[key] for key in ("share", "rows", "sha256")}
            table[name]["groups"] = {part: n["groups"] for part, n in folder["parts"].items()}
        picture, title = PICTURES / f"wrong-{name}.png", f"{name}: the most confident errors"
        errors = figures.surest_errors(one)[:96]
        charts.characters(picture, tests[name], one.probabilities, errors, title)
    write_json(METRICS / "transfer.json", {"threshold": threshold, "sets": table})
    charts.transfer(METRICS / "transfer.png", table, how.target_risk)
    return table


def summary(source: str, own: dict[str, Any], hands: dict[str, Any], cards: dict[str, Any]) -> None:
    """summary.json, what people compare between runs: characters, the hands of labelled folders
    (their mean), whole cards."""
    found = {key: own[key] for key in figures.HEADLINE}
    if hands:
        for key in ("balanced_accuracy", "kind_known", "accepted", "accepted_error"):
            found[f"hands_{key}"] = round(float(np.mean([one[key] for one in hands.values()])), 5)
    for key in ("raw_exact_match", "decoded_exact_match", "accepted", "accepted_error"):
        found[f"vin_{key}"] = cards[key]
    write_json(METRICS / "summary.json", found | {"source": source})
