"""What made a model, and which model made a row."""

import csv
import hashlib
import json
import shutil
from pathlib import Path

from vintraining.drawing.cards import draw_cards

import pytest

from conftest import PROJECT, run_here, save_card
from vinreader import provenance
from vinreader.provenance import code_digest

RELEASED = PROJECT / "models/released/vin-reader.tflite"


@pytest.fixture
def folder(tmp_path) -> Path:
    save_card(tmp_path / "input", draw_cards(1, seed=5)[0])
    return tmp_path


def predict(folder: Path, *arguments: str) -> str:
    result = run_here(folder, "predict.py", *arguments)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_version_says_what_the_model_was_made_from(tmp_path):
    description = json.loads(RELEASED.with_suffix(".json").read_text("utf-8"))
    said = predict(tmp_path, "--version")
    for text in (
        description["sha256"],
        description["fingerprint"],
        description["source"],
        *description["data"]["sha256"].values(),
        f"tensorflow {description['versions']['tensorflow']}",
        '"seed": ',
        "ai-edge-litert",
        *(
            f"images of the labelled folder {name}"
            for name, folder in description["labelled"].items()
            if "train" in folder["parts"]
        ),
    ):
        assert text in said


def test_code_that_is_not_what_the_model_was_made_with_is_told(folder):
    description = json.loads(RELEASED.with_suffix(".json").read_text("utf-8"))
    (folder / "x.tflite").write_bytes(RELEASED.read_bytes())
    shutil.copy(RELEASED.with_name("vin-numbers.json"), folder)
    for code, says, changed in (
        ({"reading": code_digest(), "training": "0"}, "as it is here", False),
        ({"reading": "0" * 64}, f"{'0' * 64}; not as it is here: {code_digest()}", True),
        ({"stages/train.py": "0"}, "the model does not tell", None),
    ):
        (folder / "x.json").write_text(json.dumps(description | {"code": code}))
        assert says in predict(folder, "--version", "--model", "x.tflite")
        predict(folder, "input", "--model", "x.tflite")
        record = json.loads((folder / "predictions.csv.json").read_text("utf-8"))
        assert record["changed_code"] is changed


def test_the_digest_is_of_every_file_that_reads_and_of_no_other(tmp_path, monkeypatch):
    stages, seen = tmp_path / "stages", [code_digest()]
    shutil.copytree(PROJECT / "stages/vinreader", stages / "vinreader")
    monkeypatch.setattr(provenance, "__file__", str(stages / "vinreader/provenance.py"))
    assert seen == [code_digest()]
    for name in ("image/boxes.py", "number/vin.py", "reader.py", "spec.py", "litert.py"):
        file = stages / "vinreader" / name
        file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
        assert code_digest() == seen[-1]
        file.write_bytes(file.read_bytes() + b"# changed\n")
        seen.append(code_digest())
    assert len({*seen}) == 6
    (stages / "vinreader/folders.py").open("a").write("# changed\n")
    assert code_digest() == seen[-1]


def test_a_table_has_a_record_of_the_model_that_made_it(folder):
    predict(folder, "input", "--output", "out.csv", "--threshold", "0.5", "--rules", "none")
    record = json.loads((folder / "out.csv.json").read_text("utf-8"))
    card = json.loads(RELEASED.with_suffix(".json").read_text("utf-8"))
    assert record["model"]["sha256"] == hashlib.sha256(RELEASED.read_bytes()).hexdigest()
    assert record["model"]["fingerprint"] == card["fingerprint"]
    assert (record["threshold"], record["rules"]) == (0.5, "none")
    assert set(record["tables"]) == {"out.csv", "vins.csv"}
    for name, digest in record["tables"].items():
        content = (folder / name).read_bytes()
        assert hashlib.sha256(content).hexdigest() == digest
        assert next(csv.reader(content.decode().splitlines()))  # the columns are as ever
