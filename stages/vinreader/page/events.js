// What clerks do, as events, and what these make of a card; the station replays them alike.

const CLOSING = ["done", "unreadable", "original"];

let lastAt = 0;

// Events of one step of a clerk: they have the same time, and no other step has it.
function stamped(events, clerk) {
  lastAt = Math.max(Date.now(), lastAt + 1);
  const at = new Date(lastAt).toISOString();
  return events.map(event => {
    const random = crypto.getRandomValues(new Uint8Array(16));
    const id = Array.from(random, byte => byte.toString(16).padStart(2, "0")).join("");
    return {id, at, clerk, ...event};
  });
}

// Ids of the events that are undone. An undo that is itself undone undoes nothing.
function undone(events) {
  const ids = new Set();
  for (const event of [...events].reverse()) {
    if (event.kind === "undo" && !ids.has(event.id)) ids.add(event.undoes);
  }
  return ids;
}

// The state that events make of a card of which `start` was read: its characters, status, who
// decided it with which event, and the boxes that a person has settled.
function replay(start, events) {
  const ids = undone(events);
  const state = {status: "open", reading: start, by: null, decision: null, settled: new Set()};
  for (const event of events) {
    const {id, kind, box, boxes, character, clerk, vin = state.reading} = event;
    if (ids.has(id)) continue;
    if (kind === "box") {
      state.reading = state.reading.slice(0, box) + character + state.reading.slice(box + 1);
      state.settled.add(box);
    }
    if (kind === "confirm") boxes.forEach(one => state.settled.add(one));
    if (kind === "box" || kind === "open") {
      Object.assign(state, {status: "open", by: null, decision: null});
    }
    if (kind === "done" && !isNumber(numberOf(vin))) continue;   // once there were such
    if (CLOSING.includes(kind)) {
      Object.assign(state, {status: kind, reading: vin, by: clerk, decision: id});
    }
  }
  return state;
}
