// What clerks do, as events, and what these make of a card; the station replays them alike.

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
    if (ids.has(event.id)) continue;
    if (event.kind === "box") {
      const {reading} = state, {box, character} = event;
      state.reading = reading.slice(0, box) + character + reading.slice(box + 1);
      state.settled.add(box);
      Object.assign(state, {status: "open", by: null, decision: null});
    } else if (event.kind === "confirm") {
      for (const box of event.boxes) state.settled.add(box);
    } else if (event.kind === "open") {
      Object.assign(state, {status: "open", by: null, decision: null});
    } else if (["done", "unreadable", "original"].includes(event.kind)) {
      if (event.kind === "done" && !isNumber(numberOf(event.vin))) continue;   // once there were such
      if (event.kind === "done") state.reading = event.vin;
      Object.assign(state, {status: event.kind, by: event.clerk, decision: event.id});
    }
  }
  return state;
}
