"""The gate before a release, and the way back: one reader or the other, whatever happens."""

import json
import shutil
from pathlib import Path

from vintraining import releasing
from vintraining.scores import gate

import numpy as np
import pytest

from conftest import PROJECT, Workspace, killed_at
from vinreader.reader import Reader
from vinreader.spec import UserError

N = 2000


def outcome(wrong: int, accepted: int = N, accepted_wrong: int = 0, first: int = 0) -> gate.Outcome:
    """N readings, of which these many are wrong, from `first` on; of those accepted so many."""
    right, taken = np.ones(N, bool), np.zeros(N, bool)
    right[first : first + wrong] = False
    taken[first : first + accepted_wrong] = True
    rest = np.flatnonzero(right)[: accepted - accepted_wrong]
    taken[rest] = True
    return gate.Outcome(right, taken)


def line(new: gate.Outcome, old: gate.Outcome) -> gate.Line:
    return gate.Line("set", "characters", new, old, promised=0.005)


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
    assert line(new, old).worse is worse
    assert ("worse beyond chance" in str(line(new, old))) is worse


def test_the_gate_counts_only_where_the_two_differ():
    same, other = np.arange(N) < 40, np.arange(N) >= N - 40
    assert gate.by_chance(same, same) == 1.0
    assert gate.by_chance(same, other) == pytest.approx(0.5, abs=0.05)
    assert gate.by_chance(np.arange(10) < 5, np.zeros(10, bool)) == 0.5**5


def put(folder: Path, name: str) -> None:
    """The released reader's files, with a description of this name."""
    shutil.copytree(PROJECT / "models/released", folder, dirs_exist_ok=True)
    shutil.rmtree(folder / releasing.PREVIOUS, ignore_errors=True)
    path = folder / "vin-reader.json"
    described = json.loads(path.read_text()) | {"fingerprint": name}
    path.write_text(json.dumps(described))


@pytest.fixture
def models(workspace, monkeypatch) -> Workspace:
    put(workspace.folder / "models", "new")
    put(workspace.folder / "models/released", "old")
    monkeypatch.chdir(workspace.folder)
    return workspace


def released(folder: Path) -> str:
    """Which reader a clerk has: it loads, with the statistics that belong to it."""
    reader = Reader(folder / releasing.RELEASED)
    assert reader.prior
    return reader.description["fingerprint"]


def test_a_rollback_brings_the_reader_before_back_and_can_be_taken_back(models):
    before = {name: (Path("models/released") / name).read_bytes() for name in releasing.FILES}
    releasing.release()
    assert released(models.folder) == "new"
    for name in ("old", "new", "old"):
        result = models.run("release.py", "--rollback")
        assert result.returncode == 0, result.stderr
        assert f"fingerprint {name}" in result.stdout and released(models.folder) == name
    after = {name: (Path("models/released") / name).read_bytes() for name in releasing.FILES}
    assert after == before
    kept = sorted(p.name for p in Path("models/released").iterdir())
    assert kept == [releasing.PREVIOUS, *sorted(releasing.FILES)]  # one reader before, not two


def test_without_a_reader_before_nothing_changes(models):
    with pytest.raises(UserError, match="holds no reader to go back to"):
        releasing.rollback()
    assert released(models.folder) == "old"


def test_a_release_that_fails_leaves_the_old_reader(models):
    Path("models/vin-numbers.json").unlink()
    with pytest.raises(FileNotFoundError):
        releasing.release()
    assert released(models.folder) == "old"
    releasing.recover()
    assert [p.name for p in Path("models").iterdir() if p.is_dir()] == ["released"]


def test_killed_at_any_moment_one_whole_reader_is_released(models):
    releasing.release()
    start = models.folder / "start"
    shutil.copytree("models", start)
    change, killed = 0, True
    while killed:
        shutil.rmtree("models")
        shutil.copytree(start, "models")
        killed = killed_at(change, "release.py", "--rollback", cwd=models.folder)
        assert released(models.folder) in ("old", "new")
        releasing.recover()
        assert not list(Path("models").glob(".*"))
        change += 1 if change < 5 else 3
    assert change > 5 and released(models.folder) == "old"


def test_where_folders_cannot_be_exchanged_at_once_a_killed_release_is_made_up_for(models):
    releasing.release()
    shutil.copytree("models/released", releasing._NEXT / releasing.PREVIOUS)
    shutil.rmtree("models/released")  # killed between the two renamings
    releasing.recover()
    assert released(models.folder) == "new"
