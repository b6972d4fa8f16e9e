"""The check station as it runs: clerks, leases, refusals, kills, full disks, strangers."""

import contextlib
import itertools
import json
import logging
import os
import platform
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

from vintraining.drawing.cards import draw_cards

import numpy as np
import pytest
import requests
from PIL import Image

from conftest import (
    PROJECT,
    linux,
    predict,
    rows,
    run_alone,
    run_here,
    save_card,
    unmeasured,
    write_rows,
)
from vinchecking import command, former, report
from vinchecking.building import Building
from vinchecking.command import Seldom
from vinchecking.desk import LEASE, Desk
from vinchecking.events import NONE
from vinchecking.store import FILE, Store, append
from vinreader import review
from vinreader.spec import UserError
from vinreader.tables import DRAWN, VinRow

READ = "WVWZZZ1JZ3W386752"
OTHER = "WVWZZZ1JZ3W386753"
numbers = itertools.count(1)


def card(name, status="review", message="", sure=0.5, reading=READ):
    boxes = [review.picture(np.full((20, 15), 9 * at, np.uint8)) for at in range(len(reading))]
    likely = [[(character, sure), ("S", 1 - sure)] for character in reading]
    row = VinRow(name, READ, READ, "0.5000", "not required", status, message=message)
    return review.ReviewCard(boxes, reading, [sure] * len(reading), likely, row)


def build(folder, cards, blind=()):
    with Building(folder / FILE) as store:
        for shown in cards:
            store.add(review.entry(shown))
        store.write(folder / FILE, blind=blind)
    return folder / FILE


def event(kind, number=0, clerk="anna", **more):
    return {
        "id": f"{next(numbers):032x}",
        "at": "2000-01-01T00:00:00.000Z",
        "clerk": clerk,
        "kind": kind,
        "card": number,
        **more,
    }


def done(number, vin=READ, clerk="anna", **more):
    return event("done", number, clerk, vin=vin, **more)


class Station:
    """`vin-reader check` in a process of its own."""

    def __init__(self, folder, *arguments):
        self.folder = folder
        command = [sys.executable, PROJECT / "stages/vinreader", "check", "input", "--port", "0"]
        self.process = subprocess.Popen(
            [*command, *arguments],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=(folder / "log").open("a"),
            text=True,
            env=unmeasured(),
        )
        self.said = []
        for line in self.process.stdout:
            self.said.append(line)
            if found := re.match(r"Open (\S+?)(?:\?token=(\S+))? in", line):
                self.url, self.token = found[1].rstrip("/"), found[2]
                return
        raise AssertionError("".join(self.said) + (folder / "log").read_text())

    def ask(self, path, body=None, clerk="anna", **headers):
        headers = {"X-Clerk": clerk, **headers}
        if body is None:
            return requests.get(self.url + path, headers=headers, timeout=30)
        return requests.post(self.url + path, json=body, headers=headers, timeout=30)

    def send(self, *events):
        return self.ask("/api/events", list(events)).json()

    def stop(self, how=signal.SIGTERM):
        if not self.process.stdout.closed:
            self.process.send_signal(how)
            self.said.append(self.process.communicate()[0])
        return "".join(self.said)


@contextlib.contextmanager
def running(folder, *arguments):
    station = Station(folder, *arguments)
    try:
        yield station
    finally:
        station.stop()


@contextlib.contextmanager
def full_disk(station):
    """The station's store cannot grow meanwhile."""
    import resource

    process, limit = station.process.pid, resource.RLIMIT_FSIZE
    unlimited = resource.prlimit(process, limit)
    size = (station.folder / f"{FILE}-wal").stat().st_size
    resource.prlimit(process, limit, (size, unlimited[1]))
    yield
    resource.prlimit(process, limit, unlimited)


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """A station with 200 cards for tests that leave others' cards alone."""
    folder = tmp_path_factory.mktemp("station")
    build(folder, [card(f"card {number}") for number in range(200)])
    with running(folder) as station:
        yield station


@pytest.fixture
def desk(tmp_path):
    """desk(cards, second) -> a `Desk` whose clock is `desk.now`."""
    stores = []

    def make(cards, second=0.0, blind=()):
        store = Store(build(tmp_path, cards, blind))
        store.key_twice(second)
        stores.append(store)
        make.now = 1_000_000.0
        return Desk(store, lambda: make.now)

    yield make
    for store in stores:
        store.close()


def test_two_clerks_get_other_cards_and_a_lease_ends_by_itself(desk):
    at = desk([card("a"), card("b"), card("sure", "ok")])
    assert (at.next("anna"), at.next("boris"), at.next("vera")) == (0, 1, None)
    assert at.lease(0, "boris") == {"ok": False, "by": "anna", "until": desk.now + LEASE}
    desk.now += LEASE - 1
    assert at.take_in([event("box", 0, box=1, character="5", view="card")])["accepted"]
    desk.now += LEASE - 1  # the key has renewed it
    assert not at.lease(0, "boris")["ok"]
    desk.now += 2
    assert at.lease(0, "boris")["ok"]
    (refused,) = at.take_in([event("box", 0, box=1, character="6", view="card")])["refused"]
    assert (refused["code"], refused["by"]) == ("leased", "boris")
    desk.now += LEASE + 1
    assert at.lease(0, "anna")["ok"]
    assert at.lease(1, "anna")["ok"] and at.lease(0, "boris")["ok"]  # who has one card at a time


def test_next_goes_on_after_the_card_left_and_comes_back_to_what_was_skipped(desk):
    at = desk([card(name) for name in "abc"])
    assert [at.next("anna"), at.next("anna", 0), at.next("anna", 1)] == [0, 1, 2]
    at.take_in([done(2)])
    assert at.next("anna", 2) == 0


def test_nobody_replaces_a_decision_without_knowing(desk):
    at = desk([card("a")])
    first = done(0)
    at.take_in([first])
    (refused,) = at.take_in([done(0, OTHER, "boris")])["refused"]
    assert refused["code"] == "decided" and refused["decision"] == first["id"]
    assert (refused["by"], refused["reading"]) == ("anna", READ)
    assert at.take_in([event("box", 0, "boris", box=1, character="5", view="mosaic")])["refused"]
    assert at.take_in([event("confirm", 0, "boris", boxes=[1])])["accepted"]
    assert at.take_in([done(0, OTHER, "boris", over=first["id"])])["accepted"]
    (row,) = at.store.rows()
    assert (row.vin, row.read_as, row.decision, row.clerk) == (OTHER, READ, "corrected", "boris")
    assert row.decided_at == "1970-01-12T13:46:40Z"  # an event is not older than its arrival


def test_an_event_sent_twice_is_kept_once_and_its_id_is_no_other_event_s(desk):
    at = desk([card("a")])
    said = done(0)
    assert at.take_in([said, said])["accepted"] == [said["id"]] * 2
    assert at.store.count_events() == 1
    assert at.take_in([{**said, "vin": OTHER}])["refused"][0]["code"] == "invalid"


def test_an_undo_reaches_across_cards_and_only_own_events(desk):
    at = desk([card("a"), card("b")])
    first, second = done(0, OTHER), done(1)
    at.take_in([first, second])
    undo = event("undo", 0, undoes=first["id"])
    assert at.take_in([{**undo, "clerk": "boris"}])["refused"]
    assert at.take_in([event("undo", 1, undoes=first["id"])])["refused"]
    assert at.take_in([undo])["accepted"]
    assert [row.status for row in at.store.rows()] == ["review", "ok"]
    assert at.progress("anna")["open"] == 1


def test_events_can_only_be_appended(desk):
    at = desk([card("a")])
    at.take_in([done(0)])
    for statement in ("DELETE FROM events", "UPDATE events SET clerk = 'boris'"):
        with at.store.writing() as db, pytest.raises(sqlite3.Error, match="only appended"):
            db.execute(statement)
    assert at.store.count_events() == 1


def test_a_card_keyed_twice_goes_to_a_second_and_to_a_third_clerk(desk):
    at = desk([card("a")], second=1)
    assert at.next("anna") == 0
    at.take_in([done(0)])
    assert at.next("anna") is None and at.waiting("anna") == 1
    assert at.next("boris") == 0
    shown = at.store.view(at.store.card(0), "boris")
    assert shown.blind and set(shown.start) == {NONE}
    at.take_in([done(0, OTHER, "boris")])
    assert [row.status for row in at.store.rows()] == ["review"]
    assert at.next("boris", 0) is None
    assert at.next("vera") == 0
    at.take_in([done(0, OTHER, "vera")])
    (row,) = at.store.rows()
    assert row.vin == OTHER and at.progress("vera")["done"] == 1


def test_a_share_of_the_cards_is_keyed_twice_and_always_the_same(desk):
    at = desk([card(f"card {number}") for number in range(300)], second=0.3)
    chosen = [c for c in range(300) if at.store.card(c).keyed.second]
    assert 60 < len(chosen) < 120
    at.store.key_twice(0.6)
    assert set(chosen) <= {c for c in range(300) if at.store.card(c).keyed.second}


def test_audit_cards_stand_among_the_doubtful_ones_and_come_blind(tmp_path):
    cards = [card(f"d{number}") for number in range(6)]
    cards += [card(f"a{number}", "ok") for number in range(2)] + [card("sure", "ok")]
    build(tmp_path, cards, blind=[6, 7])
    with running(tmp_path) as station:
        listed = station.ask("/api/cards").json()["cards"]
        names = [one["name"] for one in listed]
        assert names[-1] == "sure" and all(one["doubtful"] for one in listed[:-1])
        assert 0 < names.index("a0") < names.index("a1") < 8
        shown = station.ask("/api/cards/6").json()
        assert shown["blind"] and shown["row"]["audit"] == "" and READ not in json.dumps(shown)
        assert (shown["confidences"], shown["alternatives"]) == ([], [])
        station.send(done(6, OTHER))
    found = {row["card"]: row for row in rows(tmp_path / "vins.csv")}
    assert [name for name, row in found.items() if row["audit"] == DRAWN] == ["a0", "a1"]
    assert (found["a0"]["decision"], found["a0"]["read_as"]) == ("corrected", READ)


def test_the_mosaic_shows_the_least_sure_first_to_one_clerk_and_forgets_what_is_settled(desk):
    at = desk([card("a", sure=0.9), card("b", sure=0.4), card("c", sure=0.6)])
    zs = [box for box, character in enumerate(READ) if character == "Z"]
    shown = at.mosaic("anna", "Z", 6, doubtful=True)
    assert [one["card"] for one in shown["boxes"]] == [1] * 4 + [2] * 2 and shown["left"] == 12
    assert [one["box"] for one in shown["boxes"][:4]] == zs
    others = at.mosaic("boris", "Z", 100, doubtful=True)["boxes"]
    assert len({(one["card"], one["box"]) for one in [*others, *shown["boxes"]]}) == 6 + 6
    at.take_in([event("confirm", 1, boxes=zs)])
    assert at.store.tallies("to see")["Z"] == 8
    at.take_in([done(2)])
    assert at.store.tallies("to see")["Z"] == 4
    assert [row.status for row in at.store.rows()] == ["review", "review", "ok"]  # not by it


def test_wrong_boxes_are_planted_and_who_misses_them_is_told(desk):
    at = desk([card(f"doubtful {number}") for number in range(50)] + [card("k", "ok", sure=0.9995)])
    assert READ.count("S") == 0
    planted, answers = [], []
    for _ in range(20):  # of which the runner-up is S
        with at.store.writing() as db:
            db.execute("UPDATE boxes SET character = 'S' WHERE card < 50")
        boxes = at.mosaic("anna", "S", 100, doubtful=True)["boxes"]
        planted += [one for one in boxes if "planted" in one]
    assert 10 <= len(planted) <= 90 and {one["card"] for one in planted} == {50}
    for one, found in zip(planted[:3], (True, True, False), strict=True):
        answers.append(
            event("planted", one["card"], box=one["box"], found=found, token=one["planted"])
        )
    assert len(at.take_in(answers)["accepted"]) == 3
    again = {**answers[0], "id": f"{next(numbers):032x}"}
    assert at.take_in([again])["refused"]
    anna = report.report(at.store)["clerks"]["anna"]
    assert (anna["planted"], anna["found"]) == (3, 2)


def test_a_folder_is_read_served_and_opened_again(tmp_path):
    for number, drawn in enumerate(draw_cards(3), start=1):
        save_card(tmp_path / f"input/{number:02}", drawn)
    years = ("--years", "1960-2030")
    with running(tmp_path, *years) as station:
        assert "3 cards" in "".join(station.said)
        assert requests.get(station.url + "/", timeout=30).text.startswith("<!doctype html>")
    (tmp_path / "other").mkdir()
    result = predict("input", "--output", "other/predictions.csv", *years, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    for name in ("predictions.csv", "vins.csv"):
        assert (tmp_path / name).read_bytes() == (tmp_path / "other" / name).read_bytes()
    with running(tmp_path, *years) as station:
        assert "boxes:" not in "".join(station.said)  # not read again
        vin = station.ask("/api/cards/2").json()["reading"]
        station.send(done(2, vin))
    assert rows(tmp_path / "vins.csv")[2]["decision"] == "confirmed"
    assert (tmp_path / FILE).stat().st_mode & 0o077 == 0
    assert not (tmp_path / f"{FILE}-wal").exists()  # it was told to end, and closed the store
    (tmp_path / "next").mkdir()
    assert re.search("is of the folder .*input", refused(tmp_path, "next", "--report"))
    others = ("--audit", "1", "--known", "none.csv")
    told = refused(tmp_path, "input", "--report", *others)
    assert "another --known, --audit or none" in told
    (tmp_path / FILE).unlink()  # read anew: vins.csv says what was decided
    told = check_here(tmp_path, "input", "--report")
    assert "51 boxes" in told.stdout and "1 decisions of persons taken over" in told.stdout
    assert rows(tmp_path / "vins.csv")[2]["decision"] == "confirmed"


def test_what_is_acknowledged_outlives_a_kill_at_any_moment(tmp_path):
    build(tmp_path, [card(f"card {number}") for number in range(2000)])
    kept, kills = {}, 8
    for kill in range(kills):
        station, before = Station(tmp_path), len(kept)
        with contextlib.suppress(requests.RequestException):
            while (number := len(kept)) < 2000:
                if number == before + 2:  # however slow the machine is, it has kept some
                    threading.Timer(0.013 * kill, station.process.kill).start()
                said = done(number, OTHER if number % 2 else READ)
                if station.send(said)["accepted"] == [said["id"]]:
                    kept[number] = said
        assert station.process.wait() == -signal.SIGKILL
    with running(tmp_path) as station:
        assert station.ask("/api/progress").json()["done"] in (len(kept), len(kept) + 1)
    found = rows(tmp_path / "vins.csv")
    for number, said in kept.items():
        assert found[number]["vin"] == said["vin"] and found[number]["clerk"] == "anna"
    assert len(kept) >= 2 * kills and len(found) == 2000


FORMER = "card vin raw confidence check_digit status region manufacturer model_year message"
SAYS = {  # in the column of decisions, and before there was one
    "corrected": "blurred; corrected by a person (box 17: 2 -> 3)",
    "unreadable": "a person cannot read it",
    "": "",
    "original": "needs the original, says a person",
    "confirmed": "checked by a person",
}


def table_from_disk(folder, *said, former=False):
    """A vins.csv as the page from disk downloads it, or did before there were columns of
    decisions: of each card its name, number and decision."""
    columns = FORMER.split() if former else VinRow._fields
    table = [
        {
            "card": name,
            "vin": vin,
            "decision": decision,
            "message": SAYS[decision] if former else "",
        }
        for name, vin, decision in said
    ]
    write_rows(folder / "vins.csv", columns, table)


@pytest.mark.parametrize("former", [False, True])
def test_decisions_made_from_disk_are_taken_over_once(tmp_path, former):
    path = build(tmp_path, [card(name) for name in "abcdef"])
    said = [("a", OTHER, "corrected"), ("b", READ, "unreadable"), ("c", READ, "")]
    said += [("d", READ, "original"), ("e", READ, "confirmed")]
    table_from_disk(tmp_path, *said, former=former)
    with running(tmp_path) as station:
        assert "4 decisions of persons taken over" in "".join(station.said)
        assert "2 open" in station.said[-2]
        progress = station.ask("/api/progress").json()
        assert [progress[s] for s in ("done", "unreadable", "original")] == [2, 1, 1]
        (first,) = station.ask("/api/cards/0").json()["events"]
        assert (first["clerk"], first["vin"]) == ("from vins.csv", OTHER)
        station.send(event("open", 0, over=first["id"]), done(2))
    table_from_disk(tmp_path, *said[:2], ("c", OTHER, "corrected"), *said[3:], former=former)
    told = check_here(tmp_path, "input", "--report")
    assert "taken over" not in told.stdout  # nor is what somebody took back decided again
    assert "2 decisions in vins.csv are others than those here" in told.stdout
    found = {row["card"]: row for row in rows(tmp_path / "vins.csv")}
    status = [found[name]["status"] for name in "abcdef"]
    assert status == ["review", "review", "ok", "review", "ok", "review"]
    assert found["c"]["vin"] == READ

    for name, vin, why in (("x", READ, "no card here"), ("f", READ[1:], "vin is missing or wrong")):
        table_from_disk(tmp_path, (name, vin, "confirmed"), former=former)
        before = (tmp_path / "vins.csv").read_bytes()
        assert why in refused(tmp_path, "input", "--report")
        assert (tmp_path / "vins.csv").read_bytes() == before
    with contextlib.closing(Store(path)) as store:
        assert store.count_events() == 6


@linux
def test_on_a_full_disk_nothing_is_lost_and_work_goes_on_when_there_is_space(tmp_path):
    build(tmp_path, [card(f"card {number}") for number in range(20)])
    said = [done(number) for number in range(20)]
    with running(tmp_path) as station:
        station.send(said.pop(0))
        with full_disk(station):
            answer = station.ask("/api/events", said)
            assert (answer.status_code, answer.json()["code"]) == (503, "store")
            assert "disk" in answer.json()["error"] and str(tmp_path) not in answer.text
            assert station.ask("/api/progress").json()["done"] == 1
        assert len(station.send(*said)["accepted"]) == 19
    assert all(row["status"] == "ok" for row in rows(tmp_path / "vins.csv"))


def test_the_tables_are_there_at_any_time(shared):
    shared.send(done(199, OTHER))
    answer = shared.ask("/api/vins.csv")
    assert answer.content == (shared.folder / "vins.csv").read_bytes()
    assert rows(shared.folder / "vins.csv")[199]["vin"] == OTHER


@pytest.mark.parametrize("path", ["/", "/api/cards", "/api/events"])
@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"Host": "evil.example"}, "host"),
        ({"Host": ""}, "host"),
        ({"Host": "127.0.0.1.evil.example:80"}, "host"),
        ({"Host": "["}, "host"),
        ({"Origin": "http://evil.example"}, "origin"),
        ({"Origin": "null"}, "origin"),
        ({"Origin": "http://127.0.0.1:1"}, "origin"),
        ({"Origin": "http://["}, "origin"),
    ],
    ids=str,
)
def test_strangers_are_refused_and_written_down(shared, path, headers, code):
    body = [done(198)] if path == "/api/events" else None
    answer = shared.ask(path, body, **headers, **{"X-Forwarded-For": "10.9.8.7"})
    assert (answer.status_code, answer.json()["code"]) == (403, code)
    log = (shared.folder / "log").read_text()
    assert f"127.0.0.1: refused, {'host' if code == 'host' else 'from'}" in log
    assert "10.9.8.7" not in log  # nobody is believed to come from elsewhere
    assert shared.ask("/api/cards/198").json()["state"]["status"] == "open"


def test_another_site_s_page_may_open_the_station_but_ask_it_nothing(shared):
    headers = {"Sec-Fetch-Site": "cross-site"}
    assert shared.ask("/", **headers).status_code == 200
    assert shared.ask("/api/cards", **headers).status_code == 403


@pytest.mark.parametrize(
    ("send", "status"),
    [
        ({"data": b"x" * (2 << 20)}, 413),
        ({"data": iter([b"[" * 100_000] * 20)}, 413),  # of no stated length
        ({"data": b"[" * 100_000}, 400),
        ({"data": b"\xff"}, 400),
        ({"data": b"{}"}, 400),
        ({"data": json.dumps([{}] * 1001).encode()}, 400),
        ({"data": b"[]", "headers": {"Content-Type": "text/plain"}}, 415),
        ({"data": b'[{"id": NaN}]'}, 400),
        ({"data": b'[{"id": 1, "kind": "done"}]'}, 200),
        ({"data": b'[{"id": "x", "kind": "done", "clerk": "\\ud800"}]'}, 200),
        ({"data": b'[{"id": "x", "kind": "done", "clerk": "\\u001b[2J"}]'}, 200),
    ],
)
def test_strange_bodies_are_answered_and_do_not_break_the_report(shared, send, status):
    headers = {"Content-Type": "application/json", **send.pop("headers", {})}
    with contextlib.suppress(requests.ConnectionError):  # cut off while it was sending
        answer = requests.post(f"{shared.url}/api/events", headers=headers, timeout=30, **send)
        assert answer.status_code == status and ("error" in answer.json()) == (status != 200)
    assert shared.ask("/api/progress").status_code == 200
    with contextlib.closing(Store(shared.folder / FILE)) as store:
        assert "\x1b" not in report.told(report.report(store))


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/cards/200", 404),
        ("/api/cards/99999999999999999999999", 404),
        ("/api/cards?from=-1", 400),
        ("/api/cards?count=x", 400),
        ("/api/mosaic?character=OO", 400),
        ("/api/next?after=x", 400),
        ("/../../etc/passwd", 404),
        ("/review.html", 404),
        ("/api/lease", 405),
    ],
)
def test_what_is_not_there_is_said_so(shared, path, status):
    answer = shared.ask(path)
    assert answer.status_code == status and answer.json()["error"]


def test_a_clerk_has_a_name(shared):
    for name in ("", "%0A", "a" * 61):
        assert shared.ask("/api/next", clerk=name).status_code == 400
    assert shared.ask("/api/next", clerk="%D0%9E%D0%BB%D1%8F").status_code == 200


def test_answers_say_nothing_of_the_machine_and_forbid_what_the_page_does_not_need(shared):
    here = [str(shared.folder), str(Path.home()), platform.node()]
    some = ("cards", "cards/1", "mosaic?character=Z", "progress", "next")
    for path in ("/", "/nothing", *(f"/api/{one}" for one in some)):
        answer = shared.ask(path)
        told = answer.text + json.dumps(dict(answer.headers))
        assert not [name for name in here if name in told and len(name) > 5], path
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "script-src 'sha256-" in policy
        assert "unsafe-inline" not in policy.replace("style-src 'unsafe-inline'", "")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "server" not in answer.headers


def test_on_other_addresses_a_token_is_needed_and_stays(tmp_path):
    build(tmp_path, [card("a")])
    with running(tmp_path, "--host", "0.0.0.0") as station:
        token, port = station.token, station.url.rsplit(":", 1)[1]
        station.url = f"http://127.0.0.1:{port}"
        assert len(token) >= 32
        for headers in ({}, {"Authorization": "Bearer x"}, {"Cookie": f"token-{port}=x"}):
            assert station.ask("/api/cards", **headers).status_code == 401
            assert station.ask("/", **headers).status_code == 401
        assert station.ask("/?token=x").status_code == 401
        assert station.ask(f"/api/cards?token={token}").status_code == 401  # only the page takes it
        assert station.ask("/api/cards", Authorization=f"Bearer {token}").status_code == 200
        with requests.Session() as browser:
            answer = browser.get(f"{station.url}/?token={token}", timeout=30)
            assert answer.status_code == 200 and "token" not in answer.url
            (cookie,) = browser.cookies
            assert cookie.has_nonstandard_attr("HttpOnly")
            answer = browser.get(f"{station.url}/api/cards", headers={"X-Clerk": "a"}, timeout=30)
            assert answer.status_code == 200
        assert token not in (tmp_path / "log").read_text()
    with running(tmp_path, "--host", "0.0.0.0") as station:
        assert station.token == token
    with running(tmp_path, "--host", "0.0.0.0", "--new-token") as station:
        assert station.token != token


def check(folder, *arguments):
    return run_alone(folder, "vinreader", "check", *arguments, timeout=600)


def check_here(folder, *arguments):
    """The same in this process."""
    return run_here(folder, "vinreader", "check", *arguments)


def refused(folder, *arguments, run=check_here):
    """What a user is told where nothing is done."""
    told = run(folder, *arguments)
    assert told.returncode == 2 and "Traceback" not in told.stderr
    return told.stderr


def test_mistakes_are_one_clear_error(tmp_path, shared):
    assert "nowhere: no such folder" in refused(tmp_path, "nowhere", run=check)
    assert not list(tmp_path.iterdir())
    (tmp_path / "vins.csv").write_text(",".join(VinRow._fields) + "\na,,,,,,,,,,,confirmed,,,\n")
    before = (tmp_path / "vins.csv").read_bytes()
    assert "no such folder" in refused(tmp_path, "nowhere", run=check)
    assert [path.name for path in tmp_path.iterdir()] == ["vins.csv"]  # with what persons decided
    assert (tmp_path / "vins.csv").read_bytes() == before
    (tmp_path / "vins.csv").unlink()
    port = shared.url.rsplit(":", 1)[1]
    build(tmp_path, [card("a")])
    assert "name another --port" in refused(tmp_path, "nowhere", "--port", port, run=check)
    (tmp_path / FILE).write_bytes(b"damaged" * 1000)
    assert "is damaged" in refused(tmp_path, "nowhere", run=check)
    (tmp_path / FILE).rename(tmp_path / f"{FILE}-wal")
    assert "put that back" in refused(tmp_path, "nowhere", run=check)


def test_no_file_is_lost_or_left_where_there_is_no_card_or_a_scan_is_named_as_output(tmp_path):
    (tmp_path / "input").mkdir()
    scan = tmp_path / "input/a.png"
    Image.new("L", (20, 30), 255).save(scan)
    before = scan.read_bytes()
    assert "a.png is there already" in refused(tmp_path, "input", "--output", "input/a.png")
    assert "no cards" in refused(tmp_path, "input")
    assert scan.read_bytes() == before and [*tmp_path.rglob("*.*")] == [scan]


def test_a_table_that_is_not_the_station_s_is_put_aside(tmp_path):
    build(tmp_path, [card("a"), card("b")])
    table = tmp_path / "vins.csv"
    with running(tmp_path) as station:
        station.send(done(0))
        station.ask("/api/vins.csv")
        for clerk in ("Olena", "Petro"):  # tables from the page on disk, copied beside the store
            foreign = table.read_text("utf-8").replace("anna", clerk)
            table.write_text(foreign, "utf-8")
            station.send(event("unreadable", 1), event("open", 1))
            assert "anna" in station.ask("/api/vins.csv").text
        aside = [tmp_path / f"vins.earlier{more}.csv" for more in ("", "-2")]
        assert ["Olena" in aside[0].read_text(), "Petro" in aside[1].read_text()] == [True] * 2
    assert not (tmp_path / "vins.earlier-3.csv").exists()
    assert "vins.earlier.csv" in (tmp_path / "log").read_text()


def test_the_report_tells_of_each_clerk(desk, tmp_path):
    at = desk([card("a"), card("b"), card("c", "ok")], second=1, blind=[2])
    at.take_in([done(0), done(0, OTHER, "boris"), done(0, OTHER, "vera")])
    at.take_in([done(1), done(1, READ, "boris"), {"id": "x", "clerk": "vera"}])
    at.store.close()
    told = check_here(tmp_path, "input", "--report")
    assert told.returncode == 0, told.stderr
    for name, agreed in (("anna", 0), ("boris", 1)):
        third = f"a third agreed with {agreed} of 1"
        assert f"{name}: 2 cards; agreed on 1 of 2 cards keyed twice; {third}" in told.stdout
    assert "vera: 1 cards; 1 events refused" in told.stdout


def test_another_version_s_store_is_named(tmp_path):
    path = build(tmp_path, [card("a")])
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("UPDATE meta SET value = '99' WHERE key = 'format'")
        db.commit()
    with pytest.raises(UserError, match="another version"):
        Store(path)


@pytest.mark.parametrize("how", ["moved", "deleted", "replaced", "log moved"])
def test_nothing_is_acknowledged_when_the_store_is_gone_or_another(tmp_path, how):
    path = build(tmp_path, [card("a"), card("b")])
    aside, log = tmp_path / "aside", tmp_path / f"{FILE}-wal"
    with running(tmp_path) as station:
        station.send(done(0))
        if how == "deleted":
            os.link(path, aside)
            path.unlink()
        elif how == "log moved":
            log.rename(aside)
        else:
            path.rename(aside)
            if how == "replaced":
                build(tmp_path, [card("other"), card("b")])
        for path_asked, body in (("/api/events", [done(1)]), ("/api/vins.csv", None)):
            answer = station.ask(path_asked, body)
            assert (answer.status_code, answer.json()["code"]) == (503, "gone")
        if how == "log moved":
            log.unlink(missing_ok=True)
            aside.rename(log)
        else:
            aside.replace(path)
        said = done(1)
        assert station.send(said)["accepted"] == [said["id"]]  # it is there again
    assert [row["clerk"] for row in rows(tmp_path / "vins.csv")] == ["anna", "anna"]


def test_connections_that_ask_nothing_shut_nobody_out(tmp_path):
    build(tmp_path, [card("a")])
    with running(tmp_path) as station, contextlib.ExitStack() as stack:
        host, port = station.url.removeprefix("http://").split(":")
        for number in range(600):
            opened = stack.enter_context(socket.create_connection((host, int(port)), 10))
            if number % 2:
                with contextlib.suppress(OSError):
                    opened.send(b"GET / HTTP/1.1\r\nHost: x")
        for _ in range(5):
            assert station.ask("/api/progress").status_code == 200
    assert (tmp_path / "log").stat().st_size < 2000


def test_one_line_a_minute_is_logged_for_one_cause():
    said, now = Seldom(lambda: now[0]), [0.0]

    def log(text, *values):
        record = logging.LogRecord("x", logging.WARNING, "", 0, text, values, None)
        return record.getMessage() if said.filter(record) else None

    assert log("refused %s", "a") == "refused a" and log("other") == "other"
    assert [log("refused %s", number) for number in range(1000)] == [None] * 1000
    now[0] += 61
    assert log("refused %s", "b") == "refused b (1,000 more like it before)"


def test_a_redo_does_not_replace_what_another_has_decided_meanwhile(desk):
    at = desk([card("a")])
    first = done(0)
    undo = event("undo", 0, undoes=first["id"])
    at.take_in([first, undo])
    desk.now += LEASE + 1
    assert at.take_in([done(0, OTHER, "boris")])["accepted"]
    at.take_in([event("undo", 0, undoes=undo["id"])])
    (row,) = at.store.rows()
    assert (row.vin, row.clerk) == (OTHER, "boris")


def test_a_clock_set_back_keeps_no_card_from_anybody(desk):
    at = desk([card("a")])
    at.next("anna")
    long_ago = at.store.db.execute("SELECT until FROM leases").fetchone()[0] - 10 * LEASE
    assert Desk(at.store, lambda: long_ago).next("boris") == 0


@pytest.mark.parametrize("name", ["OLENA", " olena ", "Olena"])
def test_one_clerk_has_one_name(desk, name):
    at = desk([card("a")], second=1)
    at.take_in([done(0, clerk="Olena"), done(0, clerk=name)])
    assert at.store.view(at.store.card(0), "Olena").state.by == "Olena"
    assert at.waiting("Olena") == 1  # nobody has keyed it a second time


def test_a_name_is_one_browser_s_until_it_is_taken(tmp_path):
    build(tmp_path, [card("a")])
    with running(tmp_path) as station:
        here, there = {"X-Browser": "here"}, {"X-Browser": "there"}
        assert station.ask("/api/sign-in", {}, "Olena", **here).json() == {"clerk": "Olena"}
        refused = station.ask("/api/next", clerk="olena", **there)
        assert (refused.status_code, refused.json()["code"]) == (409, "name")
        assert station.ask("/api/sign-in?take", {}, "olena", **there).json() == {"clerk": "Olena"}
        assert station.ask("/api/next", clerk="Olena", **here).status_code == 409
        told = station.ask("/api/next", clerk="Olena", **here, **{"X-Language": "uk"}).json()
        assert "зараз працює в іншому браузері" in told["error"]


@pytest.mark.parametrize("vin", [READ[:16], READ + "1", "-" * 17, READ[:16] + "O", ""])
def test_only_a_number_can_be_accepted(desk, vin, tmp_path):
    at = desk([card("a", reading=vin.replace("O", "0") or "-")])
    assert at.take_in([done(0, vin)])["refused"]
    table_from_disk(tmp_path, ("a", vin, "confirmed"))
    with pytest.raises(UserError, match="17 characters"), at.store.writing() as db:
        former.take_over(db, former.decisions(tmp_path / "vins.csv"), tmp_path / "vins.csv")
    assert at.progress("anna")["done"] == 0


def test_a_box_too_many_is_left_out(desk):
    more = READ[:3] + "7" + READ[3:]
    at = desk([card("a", reading=more)])
    assert at.take_in([done(0, more)])["refused"]
    assert at.take_in([done(0, READ[:3] + "_" + READ[3:])])["accepted"]
    (row,) = at.store.rows()
    assert (row.vin, row.read_as, row.decision) == (READ, more, "corrected")
    assert former.by_box(READ, more) == READ[:3] + "_" + READ[3:]


def test_a_store_of_the_former_format_is_taken_over(tmp_path):
    path = build(tmp_path, [card(name) for name in "ab"], blind=[1])
    with contextlib.closing(Store(path)) as store, store.writing() as db:
        for number in (0, 1):
            said = done(number, READ if number else READ[:16])
            before = ["ab"[number], READ, READ, "0.5", "", "review", "", "", "", "drawn for audit"]
            db.execute("UPDATE cards SET row = ? WHERE id = ?", (json.dumps(before), number))
            append(db, said)
            db.execute(
                "UPDATE cards SET status = 'done', clerk = 'anna', decision = ? WHERE id = ?",
                (said["id"], number),
            )
        db.execute("UPDATE meta SET value = '2' WHERE key = 'format'")
    told = check_here(tmp_path, "input", "--report")
    assert told.returncode == 0, told.stderr
    no_number, b = rows(tmp_path / "vins.csv")
    assert (no_number["decision"], no_number["status"]) == ("", "review")
    assert (b["decision"], b["clerk"]) == ("confirmed", "anna")
    assert (b["audit"], b["message"]) == (DRAWN, "")


def test_without_what_serves_the_page_check_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(command, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'vinreader\[check\]'"):
        command.run(command.parse(["input"], "check"))
    assert not list(tmp_path.iterdir())


def test_a_locked_store_is_not_called_damaged(tmp_path):
    path = build(tmp_path, [card("a")])
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA locking_mode = EXCLUSIVE")
        db.execute("BEGIN EXCLUSIVE")
        db.execute("UPDATE meta SET value = value")
        told = refused(tmp_path, "input", "--report", run=check)
    assert "in use" in told and "damaged" not in told
