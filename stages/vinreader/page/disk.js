// The page opened from disk: cards stand in the page itself, decisions stay in this browser.
//
// Cards are JSON, one a line, some lines in each script element, the doubtful ones first. A line
// is parsed when its card is looked at; its images come last in it, so that they can be left out.

const SURE_BOX = 0.999;   // a box read so surely is known not to show another character
const PLANTED = 0.02;     // share of the boxes of a mosaic that are known to be wrong
const SURE_CARDS = 500;   // cards read with confidence that are searched for such boxes
const FOUND = 200;        // cards that a search gives at most
const HELD = 4;           // script elements whose lines are held

function diskHome(notice) {
  const kept = keeper(settings.key);
  const blind = new Set(settings.blind);   // to be typed by one who does not see what was read
  const positions = new Map(settings.order.map((id, position) => [id, position]));
  const events = new Map();      // of a card, by its id
  const states = new Map();      // what its events make of a card, without its characters
  const tally = {open: settings.doubtful, done: 0, unreadable: 0, original: 0};
  const times = [];              // of decisions
  const held = new Map();
  let alike;                     // the index of boxes read alike, once it is needed

  async function lines(part) {
    if (held.has(part)) return held.get(part);
    for (;;) {
      const script = $(`cards-${part}`), loading = document.readyState === "loading";
      if (script && (script.nextSibling || !loading)) {
        if (held.size >= HELD) held.delete(held.keys().next().value);
        held.set(part, script.textContent.split("\n"));
        return held.get(part);
      }
      if (!loading) throw new Error(text("incomplete"));
      await pause(20);   // the browser is still reading the file
    }
  }

  async function parsed(position, images) {
    const found = await lines(Math.floor(position / settings.part));
    let line = found[position % settings.part];
    if (!images && line) line = line.slice(0, line.indexOf(',"boxes":[')) + "}";
    try {
      return JSON.parse(line);
    } catch {
      throw new Error(text("incomplete"));
    }
  }

  function isDoubtful(id) { return positions.get(id) < settings.doubtful; }

  function statusOf(id) { return states.get(id)?.status || "open"; }

  function listed(id, name) { return {id, name, doubtful: isDoubtful(id), status: statusOf(id)}; }

  // What cards read later say of a card is added to what its row says.
  function noted(row, id) {
    return {...row, message: [row.message, settings.notes[id]].filter(Boolean).join("; ")};
  }

  function add(added) {
    for (const event of added) {
      if (!events.has(event.card)) events.set(event.card, []);
      events.get(event.card).push(event);
      if (CLOSING.includes(event.kind)) times.push(Date.parse(event.at));
    }
    for (const id of new Set(added.map(event => event.card))) {
      const before = statusOf(id);
      states.set(id, replay("", events.get(id)));
      if (!isDoubtful(id)) continue;
      tally[before]--;
      tally[statusOf(id)]++;
    }
  }

  // The marked boxes of doubtful cards by character, and the others, least sure first, each packed
  // into one number; and boxes that look like a character and are known not to be it.
  async function index() {
    if (alike) return alike;
    const found = {doubtful: {}, sure: {}}, known = {};
    const end = Math.min(settings.cards, settings.doubtful + SURE_CARDS);
    for (let position = 0; position < end; position++) {
      const {reading, confidences, alternatives, marked} = await parsed(position, false);
      const hidden = blind.has(settings.order[position]);
      for (let box = 0; box < reading.length; box++) {
        const place = position * 32 + box, runnerUp = alternatives[box][1];
        const likely = alternatives[box].find(([character]) => character === reading[box]);
        const confidence = likely ? likely[1] : 0;   // under the rules, as all of the number is
        if (position < settings.doubtful && !hidden && reading[box] in settings.values) {
          const read = marked.includes(box) ? found.doubtful : found.sure;
          (read[reading[box]] ||= []).push(Math.round(confidence * 1e4) * 2 ** 32 + place);
        }
        if (confidences[box] >= SURE_BOX && runnerUp) (known[runnerUp[0]] ||= []).push(place);
      }
      if (position % 2000 === 1999) await pause(0);   // keys come first
    }
    for (const read of Object.values(found)) {
      for (const character in read) read[character] = Float64Array.from(read[character]).sort();
    }
    return alike = {...found, known};
  }

  function idOf(place) { return settings.order[Math.floor(place / 32)]; }

  // Those of the boxes of an index, packed, that nobody has looked at.
  function unseen(boxes = new Float64Array()) {
    return boxes.filter(packed => {
      const place = packed % 2 ** 32, state = states.get(idOf(place));
      return !state || (state.status === "open" && !state.settled.has(place % 32));
    });
  }

  async function shown(packed) {
    const place = packed % 2 ** 32, box = place % 32;
    const confidence = Math.floor(packed / 2 ** 32) / 1e4;
    const {boxes} = await parsed(Math.floor(place / 32), true);
    return {card: idOf(place), box, confidence, image: boxes[box]};
  }

  async function planted(character, many) {
    const found = [], {known} = await index();
    const candidates = [...new Set(known[character] || [])];
    const wanted = Math.floor(many * PLANTED + Math.random());
    while (candidates.length && found.length < wanted) {
      const [place] = candidates.splice(Math.floor(Math.random() * candidates.length), 1);
      found.push({...await shown(place), planted: "disk"});
    }
    return found;
  }

  function perHour() {
    let first = times.length - 1;
    while (first > 0 && times.length - first < 200 && times[first] - times[first - 1] < 300e3) first--;
    const worked = times.at(-1) - times[first];
    return worked > 30e3 ? Math.round((times.length - 1 - first) / worked * 3600e3) : null;
  }

  return {
    clerk: "",
    async open() {
      try {
        add(await kept.all());
      } catch {
        notice.notKept();
      }
      return [...events.values()].flat();
    },
    async send(added) {
      add(added);
      await kept.add(added).catch(notice.notKept);
    },
    async list(from, many) {
      const found = [];
      for (let position = from; position < Math.min(from + many, settings.cards); position++) {
        const id = settings.order[position], {name} = await parsed(position, false);
        found.push(listed(id, name));
      }
      return found;
    },
    async find(wanted) {
      const found = [], number = wanted.toUpperCase();
      for (let position = 0; position < settings.cards && found.length < FOUND; position++) {
        const id = settings.order[position], {name, reading} = await parsed(position, false);
        const now = replay(reading, events.get(id) || []).reading;
        const isFound = name.includes(wanted) || (!blind.has(id) && numberOf(now).includes(number));
        if (isFound) found.push(listed(id, name));
        if (position % 2000 === 1999) await pause(0);
      }
      return found;
    },
    async position(id) { return positions.get(id); },
    async card(id) {
      const card = await parsed(positions.get(id), true), said = events.get(id) || [];
      if (blind.has(id)) {
        const start = "-".repeat(card.boxes.length), row = {card: card.name};
        return {id, name: card.name, boxes: card.boxes, row, doubtful: true, blind: true, start,
          confidences: [], alternatives: [], marked: [], events: said};
      }
      const row = noted(card.row, id);
      return {...card, id, row, blind: false, start: card.reading, events: said};
    },
    async next(after) {
      const from = after === undefined ? 0 : positions.get(after) + 1;
      for (let i = 0; i < settings.doubtful; i++) {
        const id = settings.order[(from + i) % settings.doubtful];
        if (statusOf(id) === "open" && id !== after) return {card: id};
      }
      return {card: null};
    },
    async lease() { return {ok: true}; },
    async isRefused() { return false; },
    async characters() {
      const found = await index(), all = {}, doubtful = {};
      for (const character of settings.characters) {
        const marked = unseen(found.doubtful[character]).length;
        const left = marked + unseen(found.sure[character]).length;
        if (marked) doubtful[character] = marked;
        if (left) all[character] = left;
      }
      return {all, doubtful};
    },
    async mosaic(character, many, marked) {
      const {doubtful, sure} = await index();
      const left = unseen((marked ? doubtful : sure)[character]);
      const wrong = await planted(character, Math.min(left.length, many));
      const boxes = await Promise.all([...left.subarray(0, many - wrong.length)].map(shown));
      for (const one of wrong) boxes.splice(Math.floor(Math.random() * (boxes.length + 1)), 0, one);
      return {left: left.length, boxes};
    },
    async progress() { return {total: settings.doubtful, ...tally, per_hour: perHour()}; },
    // The rows of vins.csv in its order, with what was decided.
    async *rows() {
      for (let id = 0; id < settings.cards; id++) {
        const {reading, row} = await parsed(positions.get(id), false);
        const said = events.get(id) || [], state = replay(reading, said);
        const decision = said.find(event => event.id === state.decision);
        const audit = blind.has(id) ? "drawn" : "";
        yield decidedRow({...noted(row, id), audit}, reading, state, decision?.at);
      }
    },
  };
}
