"""What is learned of real numbers: what they share, and nothing that tells one of them."""

import json
from collections import Counter

from vintraining.numbers import simulate
from vintraining.numbers import statistics as number_statistics
from vintraining.numbers.statistics import Real, learn
from vintraining.parameters import load

import numpy as np
import pytest

from conftest import PROJECT, reading
from vinreader.number import decoding
from vinreader.number import prior as numbers
from vinreader.number.vin import check_digit
from vinreader.reader import RELEASED
from vinreader.spec import CHARACTERS, DIGITS, UserError

HOW = load(PROJECT / "params.yaml").numbers.model_copy(
    update={"min_count": 3, "diversity": 2.0, "unseen": 0.05, "fold": 10}
)
# Beside the checkout where the project is built, in it where its statistics are learned.
FOLDERS = PROJECT / "data/numbers", PROJECT.parent / "shared/vins"
REAL = next((r for r in map(number_statistics.read, FOLDERS) if r.vins), Real((), (), 0))


@pytest.fixture(scope="module")
def made():
    """Numbers of a few makers and models, one of each too rare to be told."""
    rng = np.random.default_rng(0)
    models = ["WVWZZZ1J", "WVWZZZ3B", "TMBAH61Z", "XTA21099", "1HGCM826"]
    found = []
    for model in rng.choice(models, 400):
        rest = "0" + str(rng.choice(list("ABC123"))) + "W" + "".join(rng.choice(list(DIGITS), 6))
        number = model + rest
        if model[0] in "1T":
            number = number[:8] + check_digit(number) + number[9:]
        found.append(number)
    return [*found, "ZARRARE1234567890", "WVWZZZ9KQ".replace("Q", "0") + "1W000001"]


@pytest.fixture(scope="module")
def taught(made):
    """What these numbers make a reader expect."""
    return numbers.build(learn(made, HOW))


def test_only_what_several_numbers_share_is_kept(made):
    """Every entry again, counted from the numbers."""
    check_shared(learn(made, HOW), made, HOW.min_count)


def test_the_released_table_is_small_and_no_real_number_can_be_read_out_of_it(statistics):
    assert RELEASED.with_name(numbers.FILE).stat().st_size < 300_000
    assert statistics["numbers"] > 1000 and min_count(statistics) >= 3
    if not REAL.vins:
        pytest.skip("no real numbers in data/numbers")
    check_shared(statistics, REAL.vins, min_count(statistics))


def put_numbers(folder, name: str, vins: list[str], batch: bool = False) -> None:
    rows = [f"{vin},{name}" if batch else vin for vin in vins]
    (folder / f"{name}.csv").write_text("\n".join(["vin,batch" if batch else "vin", *rows]))


def test_a_list_adds_to_the_released_statistics_and_twice_is_once(workspace, statistics, made):
    folder = workspace.folder / "data/numbers"
    folder.mkdir(parents=True, exist_ok=True)
    place = workspace.folder / "models/released" / numbers.FILE
    place.parent.mkdir(parents=True, exist_ok=True)
    makes = [vin for vin in made if vin.startswith("XTA")]
    put_numbers(folder, "all", made)  # as if the released statistics had been learned from these
    lists = {"lists": list(number_statistics.read(folder).lists)}
    place.write_text(json.dumps(statistics | lists))
    tables = []
    for taught in ([], makes[:4], makes, makes):
        if taught:
            put_numbers(folder, "spring", taught, batch=True)
        result = workspace.run_here("learn_numbers.py")
        assert result.returncode == 0, result.stderr
        written = workspace.folder / "models" / numbers.FILE
        tables.append(json.loads(written.read_text("utf-8")))
        place.write_bytes(written.read_bytes())  # as after a release
        told = workspace.read_json("metrics/numbers.json")
        assert told["from"] == "released" and told["numbers"] == statistics["numbers"]
        assert told.get("archive", 0) == len(taught)
    chosen = number_statistics.choices(load(workspace.folder / "params.yaml").numbers)
    assert tables[0] == statistics | lists | chosen
    assert tables[2] == tables[3]
    own = ("archive", "archive numbers")
    assert {name: tables[2][name] for name in tables[2] if name not in own} == tables[0]
    check_shared({"beginnings": tables[2]["archive"]}, makes, min_count(statistics))
    workspace.set({"numbers.strength": 9.0})  # the choices are those of params.yaml
    assert workspace.run_here("learn_numbers.py").returncode == 0
    assert json.loads(written.read_text("utf-8")) == tables[3] | {"strength": 9.0}


def test_a_list_is_expected_more_and_all_others_as_before(statistics, made):
    makes = [vin for vin in made if vin.startswith("XTA")]
    before = numbers.build(statistics)
    after = numbers.build(number_statistics.with_archive(statistics, makes, HOW))
    fresh = number_statistics.indices([simulate.fresh(makes[0], np.random.default_rng(0))])
    gained = after.log_probabilities(fresh) - before.log_probabilities(fresh)
    assert gained.sum() > 1
    other = number_statistics.indices(["1M8GDM9AXKP042788"])
    assert abs((after.log_probabilities(other) - before.log_probabilities(other)).sum()) < 0.3


def test_a_few_hundred_numbers_do_not_destroy_what_thousands_taught(statistics, made):
    before = numbers.build(statistics)
    after = numbers.build(number_statistics.with_archive(statistics, made[:300], HOW))
    assert set(before.prefixes) <= set(after.prefixes)
    drawn = simulate.drawn(before, 500, np.random.default_rng(0))
    bits = [number_statistics.bits(prior, drawn).sum(axis=1).mean() for prior in (before, after)]
    assert bits[1] - bits[0] < 0.5


def test_the_habit_of_a_period_is_learned_with_its_year():
    """Made-up numbers of a maker that began with the check digit in 2002."""
    rng = np.random.default_rng(0)
    vins = []
    for code in "WXY1" * 10 + "23456789" * 10:
        number = "TMBAH61Z0" + code + "W" + "".join(rng.choice(list(DIGITS), 6))
        filled = check_digit(number) if code in "23456789" else "Z"
        vins.append(number[:8] + filled + number[9:])
    prior = numbers.build(learn(vins, HOW))
    rate = prior.check_rate[prior.cell(vins[0])]
    years = {c: rate[CHARACTERS.index(c)] for c in "Y19AN"}
    assert years["Y"] < 0.1 and years["1"] < 0.1 and years["9"] > 0.9
    assert 0.3 < years["N"] < 0.8  # 1992 or 2022
    old = numbers.build(learn(vins, HOW), (1975, 2001))
    assert old.check_rate[old.cell(vins[0]), CHARACTERS.index("N")] < 0.1


def min_count(table):
    return table.get("min_count") or table["least"]  # as the parameter was called before


def check_shared(table, vins, least):
    for beginning, tables in table["beginnings"].items():
        sharing = [vin for vin in vins if vin.startswith(beginning)]
        assert len(sharing) >= least and len(beginning) <= 8
        for position, tally in tables.items():
            if position.startswith(numbers.CHECK):
                codes = position.removeprefix(numbers.CHECK).strip()
                told = [vin for vin in sharing if not codes or vin[9] in codes]
                assert sum(tally.values()) == len(told) >= least
                continue
            seen = Counter(vin[int(position) - 1] for vin in sharing)
            assert all(least <= seen[c] and 0 < n <= seen[c] for c, n in tally.items() if c)
            # The serial number: its first two places by maker or region, the last four by nothing.
            assert int(position) < 12 or len(beginning) <= 3
            assert int(position) < 14 or beginning == ""


@pytest.mark.parametrize(
    "number, position, misread",
    [
        ("XTH310290S0123456", 5, "J"),
        ("XTH330210T1234567", 8, "A"),
        ("XTT315120L0012345", 4, "J"),
        ("XTT374100W0023456", 9, "D"),
        ("XTB214100N0123456", 4, "Z"),
        ("Y6D110206W0123456", 6, "D"),
        ("XTC532000K0012345", 4, "S"),
    ],
)
def test_a_digit_of_an_old_model_that_looks_like_a_letter_is_read_as_a_digit(
    taught, number, position, misread
):
    # The counts of real numbers are those of the made ones: none of these makers is among them.
    logs = reading(number, [(position, misread, 0.63)], sure=0.995)
    assert decoding.decode(taught, logs).vin == number


def test_a_prior_of_numbers_finds_them_likelier_than_others(taught, made):
    known = number_statistics.bits(taught, made[:50]).sum(axis=1).mean()
    other = number_statistics.bits(taught, ["KMH" + "A" * 5 + "012345678"]).sum()
    assert known < 40 < other < 17 * np.log2(33) + 30


def test_numbers_are_read_and_others_counted(tmp_path):
    (tmp_path / "a.csv").write_text(
        "source,vin,colour\n7,1m8gdm9axkp042788,red\n7,123,\n8,IOQ45678901234567,\n"
    )
    (tmp_path / "b.csv").write_text("vin\n1M8GDM9AXKP042788\nWVWZZZ1JZ3W386752\n")
    real = number_statistics.read(tmp_path)
    assert real.vins == ("1M8GDM9AXKP042788", "WVWZZZ1JZ3W386752")
    assert real.sources == ("a.csv 7", "b.csv") and real.refused == 2
    assert number_statistics.read(tmp_path / "missing") == Real((), (), 0)


@pytest.mark.parametrize("content", [b"number\n1\n", b"PK\x03\x04\0\0", b"\xff\xfev"])
def test_a_file_of_numbers_that_is_none_is_named(tmp_path, content):
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(UserError, match=r"a\.csv"):
        number_statistics.read(tmp_path)


def test_sources_are_held_out_whole():
    real = Real(tuple("ABCDEF"), ("x", "x", "y", "y", "z", "w"), 0)
    found = {name: (taught, held) for name, taught, held in number_statistics.folds(real, 2)}
    assert found["x"] == (["C", "D", "E", "F"], ["A", "B"])
    assert found["others"][1] == ["E", "F"]
    assert not list(number_statistics.folds(Real(("A",), ("x",), 0), 2))


@pytest.mark.parametrize(
    "change",
    [
        {"strength": 0},
        {"unseen": 1.5},
        {"beginnings": {}},
        {"beginnings": {"": {"1": {"A": -1}}}},
        {"beginnings": {"ÄB": {}}},
        {"beginnings": 5},
    ],
)
def test_a_damaged_table_is_refused(made, change):
    with pytest.raises((ValueError, KeyError, TypeError, AttributeError)):
        numbers.build(learn(made, HOW) | change)


def test_drawn_numbers_are_as_the_statistics_have_them(taught, made):
    drawn = simulate.drawn(taught, 600, np.random.default_rng(0))
    assert all(len(vin) == 17 and set(vin) <= set(CHARACTERS) for vin in drawn)
    share = np.mean([vin.startswith("WVW") for vin in drawn])
    assert share == pytest.approx(np.mean([vin.startswith("WVW") for vin in made]), abs=0.1)
    tmb = [vin for vin in drawn if vin.startswith("TMB")]
    assert np.mean([check_digit(vin) == vin[8] for vin in tmb]) > 0.8


def test_a_fresh_number_keeps_its_beginning_and_its_check_digit():
    rng = np.random.default_rng(0)
    for vin in ("1M8GDM9AXKP042788", "WVWZZZ1JZ3W386752"):
        made = simulate.fresh(vin, rng)
        assert (made[:8], made[9:13]) == (vin[:8], vin[9:13]) and made != vin
        assert (check_digit(made) == made[8]) == (check_digit(vin) == vin[8])


@pytest.mark.parametrize(
    "vin, group",
    [
        ("1M8GDM9AXKP042788", "north_america"),
        ("LFV2A21K6A3000000", "china"),
        ("XTA210930Y2712345", "former_ussr"),
        ("Y6D110206A0000000", "former_ussr"),
        ("WVWZZZ1JZ3W386752", "europe"),
        ("JMZBK12Z501234567", "asia"),
        ("9BWZZZ377VT004251", "elsewhere"),
    ],
)
def test_numbers_are_grouped_by_where_they_are_from(vin, group):
    assert simulate.group(vin) == group
