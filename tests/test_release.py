"""The gate before a release, and the way back: one reader or the other, whatever happens."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

from vintraining import releasing
from vintraining.data.dataset import Characters
from vintraining.scores import gate

import numpy as np
import pytest

from conftest import PROJECT, Workspace, killed_at
from vinreader.files import sha256
from vinreader.number import prior
from vinreader.reader import Reader
from vinreader.spec import CHARACTERS, ModelError

N = 2000


def outcome(wrong: int, accepted: int = N, accepted_wrong: int = 0, first: int = 0) -> gate.Outcome:
    """N readings, of which these many are wrong, from `first` on; of those accepted so many."""
    right, taken = np.ones(N, bool), np.zeros(N, bool)
    right[first : first + wrong] = False
    taken[first : first + accepted_wrong] = True
    rest = np.flatnonzero(right)[: accepted - accepted_wrong]
    taken[rest] = True
    return gate.Outcome(right, taken, right)


def line(new: gate.Outcome, old: gate.Outcome, unit: str = "characters") -> gate.Line:
    return gate.Line("set", unit, new, old, promised=0.005)


@pytest.mark.parametrize(
    ("new", "old", "worse"),
    [
        (outcome(40), outcome(40), False),
        (outcome(30), outcome(40), False),
        (outcome(43), outcome(40), False),  # three more are chance
        (outcome(60), outcome(40), True),
        (outcome(40, 1000, 3), outcome(40, 500, 0), False),  # accepts more, and keeps its promise
        (outcome(40, 1000, 30), outcome(40, 1000, 8), True),
        (outcome(40, 1500, 30), outcome(40, 750, 16), False),  # no larger share of them
    ],
)
def test_worse_beyond_chance_is_told_from_chance(new, old, worse):
    assert bool(gate.objections([line(new, old, "cards")])) is worse


def test_of_many_comparisons_one_may_look_bad_by_chance():
    suspicious = line(outcome(46), outcome(40), "cards")  # p = 1 in 64
    assert gate.objections([suspicious])
    assert not gate.objections([suspicious] + [line(outcome(40), outcome(40), "cards")] * 5)


def test_it_must_be_shown_that_no_more_than_a_thousandth_is_lost():
    same = line(outcome(40), outcome(40))
    assert not gate.objections([same])
    lost = line(outcome(43), outcome(40))  # not significant, and 1.5 in a thousand
    assert "not shown" in gate.objections([lost])[0]
    unsure = line(outcome(40), outcome(40, first=1000))  # as many, but 80 of 2,000 differ
    assert "not shown" in gate.objections([unsure])[0]


def test_the_gate_counts_only_where_the_two_differ():
    same, other = np.arange(N) < 40, np.arange(N) >= N - 40
    assert gate.by_chance(same, same) == 1.0
    assert gate.by_chance(same, other) == pytest.approx(0.5, abs=0.05)
    assert gate.by_chance(np.arange(10) < 5, np.zeros(10, bool)) == 0.5**5


def test_of_a_set_of_one_kind_it_counts_which_of_its_kind_a_character_is():
    class Fake:
        threshold = 0.9

        def __init__(self, taken: dict[str, str]):
            self.taken = taken

        def probabilities(self, images: np.ndarray) -> np.ndarray:
            """The character in the first pixel for sure; what `taken` says, and it as second."""
            said = np.zeros((len(images), len(CHARACTERS)))
            for row, index in zip(said, images[:, 0, 0], strict=True):
                row[index] = 0.05
                row[CHARACTERS.index(self.taken.get(CHARACTERS[index], CHARACTERS[index]))] = 0.95
            return said

    def read(written: str, taken: dict[str, str]) -> gate.Outcome:
        labels = np.array([CHARACTERS.index(c) for c in written], np.uint8)
        images = np.broadcast_to(labels[:, None, None], (len(labels), 28, 28))
        return gate.boxes(Fake(taken), Characters(images, labels))

    digits = read("1925", {"9": "Y", "2": "3"})
    assert digits.right.tolist() == [True, False, False, True]
    assert digits.of_kind.tolist() == [True, True, False, True]
    assert digits.accepted.all()  # the 9 taken for Y is an error that was accepted, all the same
    mixed = read("192A", {"9": "Y"})
    assert mixed.of_kind.tolist() == mixed.right.tolist() == [True, False, True, True]


def put(folder: Path, name: str) -> None:
    """A reader's files, with a description of this name; no two readers have a file in common."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in releasing.FILES:
        shutil.copy(PROJECT / "models/released" / file, folder)
    model, numbers, path = (
        folder / f for f in ("vin-reader.tflite", prior.FILE, "vin-reader.json")
    )
    numbers.write_bytes(numbers.read_bytes() + b"\n" * len(name))
    described = json.loads(path.read_text()) | {"fingerprint": name}
    if name == "new":
        model.write_bytes(model.read_bytes() + b"\0")  # is read as before
    digests = {"sha256": sha256(model), "numbers": sha256(numbers)}
    path.write_text(json.dumps(described | digests))


@pytest.fixture
def models(workspace, monkeypatch) -> Workspace:
    put(workspace.folder / "models", "new")
    put(workspace.folder / "models/released", "former")
    monkeypatch.chdir(workspace.folder)
    return workspace


def released() -> str:
    """Which reader a clerk has: it loads, with the statistics that belong to it."""
    reader = Reader(releasing.RELEASED)
    assert reader.prior
    return reader.description["fingerprint"]


def test_a_release_that_fails_leaves_the_old_reader(models):
    Path("models/vin-reader.json").unlink()
    with pytest.raises(FileNotFoundError):
        releasing.release()
    assert released() == "former"
    assert sorted(p.name for p in releasing.RELEASED.parent.iterdir()) == sorted(releasing.FILES)


def test_interrupted_anywhere_the_reader_is_whole_or_says_how_to_put_it_right(models):
    (models.folder / "release.py").write_text(
        f"import sys; sys.path.insert(0, {str(PROJECT / 'stages')!r})\n"
        "from vintraining import releasing; releasing.release()"
    )
    seen, change, killed = set(), 0, True
    while killed:
        put(models.folder / "models/released", "former")
        killed = killed_at(change, models.folder / "release.py", cwd=models.folder)
        try:
            seen.add(released())
        except ModelError as error:
            assert "git checkout models/released" in str(error)
            seen.add("mixture")
        change += 1
    assert seen == {"former", "mixture", "new"} and released() == "new"


def test_the_way_back_is_git_s(models):
    for command in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "first"]):
        git(*command)
    rollback = ["make", "-f", PROJECT / "Makefile", "rollback"]
    releasing.release()
    subprocess.run(rollback, check=True)  # of what is not committed
    assert released() == "former"
    releasing.release()
    git("commit", "-q", "-a", "-m", "released")
    subprocess.run(rollback, check=True)
    assert released() == "former"


def git(*arguments: str) -> None:
    settings = ("-c", "user.name=test", "-c", "user.email=test@example.org")
    subprocess.run(["git", *settings, *arguments], check=True)


def test_a_person_may_release_despite_an_objection_and_the_reader_tells_it(models, monkeypatch):
    path = models.folder / "models/vin-reader.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"source": "emnist byclass"}))
    monkeypatch.setattr(gate, "compare", lambda new, old: [line(outcome(60), outcome(40))])
    monkeypatch.setattr(sys, "argv", ["release"])
    with pytest.raises(SystemExit) as refused:
        releasing.main()
    assert "reads worse" in str(refused.value.code) and released() == "former"
    monkeypatch.setattr(sys, "argv", ["release", "--despite", "cards are read better"])
    releasing.main()
    assert released() == "new"
    told = Reader(releasing.RELEASED).description["released_despite"]
    assert told["reason"] == "cards are read better" and "reads worse" in told["objections"][0]
