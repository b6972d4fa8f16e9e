"""Accepted cards drawn at random and checked blind: what is drawn, shown, and concluded."""

import itertools
import json
from pathlib import Path

from vintraining.drawing.cards import draw_cards
from vintraining.hands.audit import Audited, audited, report
from vintraining.hands.corrections import read_table

import cv2
import pytest

from conftest import predict, rows, save_card, write_rows
from vinreader.tables import DRAWN, VinRow
from vinreader.writing import Cards

VIN = "WVWZZZ1JZ3W386752"


def row(card: int, confidence: float = 0.99, vin: str = VIN, **person: str) -> VinRow:
    return VinRow(
        f"card-{card}",
        vin=vin,
        confidence=f"{confidence:.4f}",
        status="ok",
        region="Europe",
        manufacturer="Volkswagen",
        **person,
    )


def written(path: Path, table: list[VinRow]) -> Path:
    return write_rows(path, VinRow._fields, (line._asdict() for line in table))


OPEN = {"audit": DRAWN}
RIGHT = {**OPEN, "decision": "confirmed", "read_as": VIN}
WRONG = {**OPEN, "decision": "corrected", "read_as": VIN[:16] + "8"}


def found(tmp_path, right: int, wrong: int, sure_of_wrong: float = 0.99) -> Audited:
    table = [row(n, **RIGHT) for n in range(right)]
    table += [row(right + n, sure_of_wrong, **WRONG) for n in range(wrong)]
    return audited(read_table(written(tmp_path / "vins.csv", table)))


@pytest.mark.parametrize(
    ("right", "wrong", "kept"), [(598, 0, True), (597, 0, False), (946, 1, True)]
)
def test_the_bound_is_exact(tmp_path, right, wrong, kept):
    assert (found(tmp_path, right, wrong).bound() <= 0.005) is kept


def test_how_many_more_cards_would_show_it(tmp_path):
    assert found(tmp_path, 100, 0).more(0.005) == 498
    assert found(tmp_path, 598, 0).more(0.005) == 0
    cards = found(tmp_path, 99, 1)
    more = cards.more(0.005)
    assert found(tmp_path, 99 + more, 1).bound() <= 0.005 < found(tmp_path, 98 + more, 1).bound()


def test_the_threshold_that_keeps_the_promise_leaves_out_the_wrong_ones(tmp_path):
    cards = found(tmp_path, 700, 20, sure_of_wrong=0.96)
    assert cards.bound() > 0.02 and cards.threshold(0.005) == pytest.approx(0.99)
    assert found(tmp_path, 100, 20).threshold(0.005) > 1


def test_the_report_tells_region_maker_and_batch_apart(tmp_path):
    one = [row(n, **RIGHT) for n in range(5)] + [row(9), row(10, **OPEN)]
    two = [row(n, **WRONG)._replace(region="Asia", manufacturer="") for n in range(2)]
    one, two = (read_table(written(tmp_path / "x.csv", table)) for table in (one, two))
    told = report({"one": one, "two": two}, 0.005)
    assert (told["all"]["checked"], told["all"]["wrong"], told["all"]["drawn"]) == (7, 2, 8)
    assert told["all"]["accepted"] == 9
    wrong = {name: group["wrong"] for name, group in told["region"].items()}
    assert wrong == {"Europe": 0, "Asia": 2}
    assert list(told["maker"]) == ["Volkswagen", "WVW"]
    assert [told["batch"][name]["share_wrong"] for name in ("one", "two")] == [0, 1]


def test_the_sample_is_random_and_follows_from_the_rows():
    def drawn(count: int, size: int, name: str = "") -> set[int]:
        with Cards() as cards:
            for n in range(count):
                cards.add(row(n)._replace(card=f"{name}{n}", status="ok" if n % 3 else "review"))
            return cards.drawn(size)

    assert drawn(60, 10) == drawn(60, 10) != drawn(60, 10, "other")
    assert drawn(9, 100) == {1, 2, 4, 5, 7, 8}  # all that were accepted
    times = [0] * 30
    for place in itertools.chain.from_iterable(drawn(30, 5, f"{n}/") for n in range(400)):
        times[place] += 1
    assert not any(times[::3]) and min(times[1::3] + times[2::3]) > 70  # 100 expected


@pytest.fixture(scope="module")
def read_once(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("audit")
    for number, card in enumerate(draw_cards(4, seed=2), start=1):
        save_card(folder / f"input/{number}", card)
    result = predict("input", "--audit", "2", cwd=folder)
    assert result.returncode == 0 and "2 of those read to be checked blind" in result.stdout
    return folder


def test_drawn_cards_say_so_in_the_table_and_are_blind_on_the_page(read_once):
    table = rows(read_once / "vins.csv")
    drawn = [place for place, line in enumerate(table) if line["audit"] == DRAWN]
    assert len(drawn) == 2 and all(table[place]["status"] == "ok" for place in drawn)
    page = (read_once / "review.html").read_text("utf-8")
    assert f'"blind":{json.dumps(drawn, separators=(",", ":"))}' in page


def test_the_audit_writes_its_report_and_warns_loudly(workspace):
    table = [row(n, **RIGHT) for n in range(700)]
    table += [row(n + 700, 0.96, **WRONG) for n in range(20)]
    written(workspace.folder / "vins.csv", table)
    result = workspace.run_here("vinreader", "audit", "vins.csv")
    assert result.returncode == 0, result.stderr
    assert "720 of 720 accepted cards checked blind: 20 wrong (2.78%)" in result.stdout
    assert "WARNING" in result.stderr and "from confidence 0.99 on" in result.stderr
    told = json.loads((workspace.folder / "audit.json").read_text())
    assert told["threshold_that_keeps_it"] == 0.99 and not told["kept"]
    assert cv2.imread(str(workspace.folder / "audit.png")).shape[1] > 500
    written(workspace.folder / "vins.csv", [row(n, **RIGHT) for n in range(600)])
    result = workspace.run_here("vinreader", "audit", "vins.csv")
    assert result.returncode == 0 and result.stderr == ""


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ([row(1)], "--audit 598"),
        ([row(1, **OPEN)], "none of the drawn cards was checked"),
        ([row(1, **RIGHT)._replace(confidence="sure")], "line 2: confidence 'sure' is no number"),
    ],
)
def test_tables_without_an_audit_are_refused(workspace, table, says):
    written(workspace.folder / "vins.csv", table)
    result = workspace.run_here("vinreader", "audit", "vins.csv")
    assert result.returncode == 1 and says in result.stderr and "Traceback" not in result.stderr
    assert not (workspace.folder / "audit.json").exists()


def test_the_audit_is_of_a_page(tmp_path):
    for arguments in (("--format", "ascii"), ("--engine", "ray")):
        result = predict("input", "--audit", "2", *arguments, cwd=tmp_path)
        assert result.returncode == 2 and "--audit" in result.stderr
