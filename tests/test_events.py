"""What clerks' events come to: replay, undo, second keying; and which events are none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from test_station import OTHER, READ, event
from vinchecking.answers import Keyed, outcome, view
from vinchecking.events import EventError, checked, replay


def box(at, character, clerk="anna", view="card"):
    return event("box", clerk=clerk, box=at, character=character, view=view)


def done(vin, clerk="anna", **more):
    return event("done", clerk=clerk, vin=vin, **more)


def undo(of, clerk="anna"):
    return event("undo", clerk=clerk, undoes=of["id"])


def test_a_card_is_typed_decided_and_opened_again():
    typed, decided = box(16, "3"), done(OTHER)
    state = replay(READ, [typed, event("confirm", boxes=[0, 1], clerk="boris"), decided])
    assert (state.status, state.reading, state.by) == ("done", OTHER, "anna")
    assert state.decision == decided["id"] and state.settled == {0, 1, 16}
    assert replay(READ, [decided, box(0, "X")]).status == "open"
    assert replay(READ, [decided, event("open")]).reading == OTHER
    assert replay(READ, [box(2, "8"), event("unreadable")]).status == "unreadable"


def test_an_undo_takes_back_and_is_taken_back():
    typed = box(0, "X")
    first = undo(typed)
    second = undo(first)
    assert replay(READ, [typed, first]) == replay(READ, [])
    assert replay(READ, [typed, first, second]).reading == "X" + READ[1:]
    assert replay(READ, [typed, first, second, undo(second)]).reading == READ


@given(st.lists(st.tuples(st.integers(0, 16), st.sampled_from("0123")), max_size=20), st.data())
def test_undoing_everything_in_any_order_leaves_what_was_read(typed, data):
    said = [box(at, character) for at, character in typed]
    back = data.draw(st.permutations(said))
    assert replay(READ, said + [undo(one) for one in back]) == replay(READ, [])


TWICE = Keyed(READ, second=True)


def test_the_second_clerk_sees_neither_reading_nor_answer():
    first = [box(16, "3"), done(OTHER)]
    assert outcome(TWICE, first).stage == "second"
    assert outcome(TWICE, first).state.status == "open"
    seen = view(TWICE, first, "boris")
    assert seen.blind and seen.start == "-" * 17 and seen.events == [] and not seen.answers
    own = view(TWICE, first, "anna")
    assert not own.blind and own.state.status == "done"


def test_two_who_say_the_same_decide_and_a_third_decides_between_others():
    agreed = outcome(TWICE, [done(OTHER), done(OTHER, "boris")])
    assert (agreed.stage, agreed.state.status, agreed.state.reading) == ("decided", "done", OTHER)
    split = [done(OTHER), done(READ, "boris")]
    assert outcome(TWICE, split).stage == "third"
    third = view(TWICE, split, "vera")
    assert not third.blind and [one.reading for one in third.answers] == [OTHER, READ]
    assert not view(TWICE, split, "anna").answers
    final = outcome(TWICE, [*split, done(READ, "vera")])
    assert (final.stage, final.state.by, final.state.reading) == ("decided", "vera", READ)
    mended = outcome(TWICE, [*split, done(OTHER, "boris")])  # who looked again
    assert mended.stage == "decided" and mended.state.reading == OTHER


def test_an_answer_taken_back_counts_no_more():
    first, second = done(OTHER), done(OTHER, "boris")
    assert outcome(TWICE, [first, second, undo(second, "boris")]).stage == "second"
    assert outcome(TWICE, [first, second, box(1, "7", "boris")]).stage == "second"


def test_who_cannot_read_a_card_agrees_with_who_cannot_either():
    both = [event("unreadable"), event("unreadable", clerk="boris")]
    assert outcome(TWICE, both).state.status == "unreadable"
    assert outcome(TWICE, [both[0], done(READ, "boris")]).stage == "third"


def test_a_card_of_the_audit_is_blind_for_everybody():
    audit = Keyed(READ, audit=True)
    assert view(audit, [], "anna").blind and view(audit, [], "anna").start == "-" * 17
    assert outcome(audit, [done(OTHER)]).state.reading == OTHER
    assert view(audit, [done(OTHER)], "boris").events == []


def test_the_clerk_who_begins_sees_what_others_settled_in_the_mosaic():
    marked = box(3, "7", "boris", view="mosaic")
    seen = view(TWICE, [marked, box(4, "7", "boris")], "anna")
    assert seen.events == [marked]


@pytest.mark.parametrize(
    "wrong",
    [
        None,
        "text",
        {},
        {"kind": []},
        event("nothing"),
        event("box", box=17, character="5", view="card"),
        event("box", box=True, character="5", view="card"),
        event("box", box=3, character="55", view="card"),
        event("box", box=3, character="O", view="card"),
        event("box", box=3, character="5", view="street"),
        event("confirm", boxes=[]),
        event("confirm", boxes=[1.0]),
        done(READ[1:]),
        done("O" * 17),
        done(READ, over="x"),
        event("undo", undoes="x"),
        event("open", clerk=""),
        event("open", clerk="a\x1b[2J"),
        event("open", clerk="a" * 61),
        event("open", card=-1),
        event("open", card=1),
        event("open", card="0"),
        event("open", card=1 << 70),
        event("open", at="yesterday"),
        event("open", at="2000-01-01T00:00:00"),
        event("open", id="1"),
        event("planted", box=1, found=1, token="t"),
    ],
    ids=repr,
)
def test_what_is_no_event(wrong):
    with pytest.raises(EventError):
        checked(wrong, lambda card: 17 if card == 0 else None)


def test_an_event_is_kept_without_what_it_has_no_place_for():
    said = box(3, "5", " anna ") | {"more": "x" * 10_000}
    kept = checked(said, lambda _: 17)
    assert kept["clerk"] == "anna" and "more" not in kept
    assert set(kept) == {"id", "at", "clerk", "kind", "card", "box", "character", "view"}
