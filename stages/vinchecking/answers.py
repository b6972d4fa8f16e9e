"""What several clerks say of one card: who sees what, whether they agree, who has to look next.

A card is decided by one clerk, or, when it is keyed twice, by two who say the same; a third one
decides between two who do not. The second does not see what the first said, nor what was read.
Cards of an audit are shown without the reading to everybody.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from vinchecking.events import DECIDING, NONE, Event, State, replay, voided

STAGES = ("first", "second", "third", "decided")  # who has to look next: which clerk, or nobody


@dataclass(frozen=True, slots=True)
class Keyed:
    """How a card is to be keyed. reading: what was read, a character a box. second: by a second
    clerk, too. audit: without the reading shown."""

    reading: str
    second: bool = False
    audit: bool = False

    @property
    def blank(self) -> str:
        return NONE * len(self.reading)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a card has come to. stage: one of `STAGES`. state: of the whole card, `open` unless
    it is decided. answers: of each clerk, in the order in which they first decided."""

    stage: str
    state: State
    answers: dict[str, State]


@dataclass(frozen=True, slots=True)
class View:
    """A card as one clerk may see it: its characters before any event, and the events that he
    sees. answers: those between which he decides."""

    blind: bool
    start: str
    events: list[Event]
    answers: tuple[State, ...] = ()

    @property
    def state(self) -> State:
        return replay(self.start, self.events)


def outcome(card: Keyed, events: Sequence[Event]) -> Outcome:
    """What the events of a card come to."""
    answers = _answers(card, events)
    if not card.second:
        state = replay(card.blank if card.audit else card.reading, events)
        return Outcome("first" if state.status == "open" else "decided", state, answers)
    agreed = _agreed(answers, events)
    if agreed:
        return Outcome("decided", agreed, answers)
    return Outcome(STAGES[len(answers)], State("open", card.reading), answers)


def view(card: Keyed, events: Sequence[Event], clerk: str) -> View:
    """What a clerk sees of a card."""
    own = [event for event in events if event["clerk"] == clerk]
    if not card.second:
        return View(True, card.blank, own) if card.audit else View(False, card.reading, [*events])
    answers = _answers(card, events)
    earlier = [state for name, state in answers.items() if name != clerk]
    if clerk in answers:
        earlier = earlier[: list(answers).index(clerk)]
    if len(earlier) >= 2:
        start = next((s.reading for s in earlier if s.status == "done"), card.reading)
        return View(False, start, own, tuple(earlier[:2]))
    if earlier or card.audit:
        return View(True, card.blank, own)
    seen = [
        event
        for event in events
        if clerk == event["clerk"] or event["kind"] == "confirm" or event.get("view") == "mosaic"
    ]
    return View(False, card.reading, seen)


def _answers(card: Keyed, events: Sequence[Event]) -> dict[str, State]:
    void = voided(events)
    decided = (e for e in events if e["kind"] in DECIDING and e["id"] not in void)
    answers = {}
    for clerk in dict.fromkeys(event["clerk"] for event in decided):
        state = replay(card.blank, [event for event in events if event["clerk"] == clerk])
        if state.status != "open":
            answers[clerk] = state
    return answers


def _agreed(answers: dict[str, State], events: Sequence[Event]) -> State | None:
    """The decision of two clerks who say the same, or of the one after them; else None."""
    said = list(answers.values())
    by_event = {state.decision: state for state in said}
    knowing = [by_event[e["id"]] for e in events if e.get("over") and e["id"] in by_event]
    if knowing:
        return knowing[-1]
    agreed = len(said) > 2 or (len(said) == 2 and said[0].answer == said[1].answer)
    return said[-1] if agreed else None
