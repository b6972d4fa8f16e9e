"""The same bytes as on another processor: training, normalising, reading, the tables' figures."""

import json
import subprocess
import sys
from pathlib import Path

from vintraining.model import processor

import pytest

from benchmarks import processors
from conftest import PROJECT, unmeasured
from vinreader.spec import UserError

WORK = """
import hashlib, json, sys
from pathlib import Path
from vintraining.data import dataset, handwriting
from vintraining.model import network
from vintraining.parameters import load
import numpy as np
from vinreader import Reader
from vinreader.image.boxes import normalise_batch

parameters = load()
train = parameters.train.model_copy(update={"epochs": 1, "batch_size": 64, "widths": [4, 8, 8]})
network.be_reproducible(1, train)
images, labels, _ = handwriting.write(per_class=4, writers=4, seed=3)
characters = dataset.Characters(normalise_batch(images, processes=1), labels)
batch = network.TrainingBatches(characters, train, 1)[0][0]
trained, _ = network.fit(characters, characters, train, 1, Path(sys.argv[1], "h.csv"), verbose=0)
card = Reader(threads=2).read_card(list(255 - images[:17]))
done = {
    "handwriting": images, "normalised": characters.images, "augmented": batch,
    "weights": np.concatenate([w.ravel() for w in trained.get_weights()]),
    "logits": network.logits(trained, characters.images),
    "card": np.array([card.vin, *(f"{box.confidence:.4f}" for box in card.boxes)]),
}
print(json.dumps({name: hashlib.sha256(a.tobytes()).hexdigest() for name, a in done.items()}))
"""


@pytest.fixture(scope="module")
def other(tmp_path_factory) -> dict[str, str]:
    """What to add to the environment of a process that is to see another processor than ours."""
    try:
        library = processors.build(tmp_path_factory.mktemp("processor"))
    except UserError as error:
        pytest.skip(str(error))
    return processors.environment(library, "zen2")


def started(code: str, folder: Path, environment: dict[str, str]) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", code, str(folder)],
        cwd=PROJECT,
        env=unmeasured() | {"PYTHONPATH": str(PROJECT / "stages")} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_another_processor_is_seen(other, tmp_path):
    look = "import cv2, os; print(cv2.getCPUFeaturesLine(), len(os.sched_getaffinity(0)))"
    seen = started(look, tmp_path, other).communicate()[0].split()
    assert "*AVX2" in seen and "*AVX512-SKX?" in seen and seen[-1] == "8"  # ?: not there


def test_another_processor_gives_the_same_bytes(other, tmp_path):
    done = []
    for process in [started(WORK, tmp_path, environment) for environment in ({}, other)]:
        out, problem = process.communicate()
        assert process.returncode == 0, problem
        done.append(json.loads(out.splitlines()[-1]))
    assert done[0] == done[1]
    assert len(set(done[0].values())) == 6  # nothing is empty


@pytest.mark.parametrize(
    ("machine", "flags", "said"),
    [
        ("x86_64", ["avx2", "fma"], ""),
        ("x86_64", ["avx512f"], "this processor has no AVX2 with FMA"),
        ("x86_64", [], ""),  # the system does not tell
        ("arm64", [], "arm64 is no x86-64 processor"),
    ],
)
def test_a_machine_that_cannot_promise_the_same_says_so(monkeypatch, machine, flags, said):
    monkeypatch.setattr(processor.platform, "machine", lambda: machine)
    monkeypatch.setattr(processor, "features", lambda: flags)
    assert processor.missing() == said


def test_portable_arithmetic_names_no_processor(monkeypatch):
    monkeypatch.setattr(processor, "features", lambda: ["avx2", "amx_bf16"])
    assert processor.kernels("portable") == "portable: avx2"
    assert processor.kernels("fast") == "fast: avx2 amx_bf16"
