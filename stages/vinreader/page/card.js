// One card: its boxes, the doubtful ones first, what each may be, and why.

// The card shown, what its events make of it, the box selected, its place in the list, whether
// the page chose that box (then typing goes on to the next doubtful one), and who else has it.
const desk = {card: null, state: null, box: 0, position: null, chosen: false, by: "", over: null,
  warned: ""};   // the number whose wrong check digit was told

const ALIKE = ["0DOQ", "17I", "5S", "2Z", "8B", "UV"];   // O, I and Q stand in no number, but on paper

function isEdited(box) { return !desk.card.blind && desk.state.reading[box] !== desk.card.start[box]; }

function isDoubtfulBox(box) {
  const {card, state} = desk;
  if (card.blind || state.settled.has(box)) return false;
  const said = (card.answers || []).filter(({status}) => status === "done");
  if (said.length > 1) return said.some(({reading}) => reading[box] !== said[0].reading[box]);
  return card.marked.includes(box);
}

function isTyped(box) { return desk.state.reading[box] !== NONE; }

function nextDoubtful(from) {
  const boxes = desk.card.boxes.length;
  for (let i = 0; i < boxes; i++) {
    const box = (from + i) % boxes;
    if (desk.card.blind ? !isTyped(box) : isDoubtfulBox(box)) return box;
  }
  return -1;
}

async function showCard(id, box) {
  sight.leave();
  const lease = await home.lease(id);
  const card = await home.card(id);
  Object.assign(desk, {card, state: replay(card.start, card.events), by: lease.ok ? "" : lease.by, over: null, warned: ""});
  desk.position = await home.position(id);
  desk.box = box ?? Math.max(nextDoubtful(0), 0);
  desk.chosen = box === undefined;
  drawCard(true);
  sight.enter($("card-view").querySelectorAll("img[src]"));
  if (desk.position !== null) scrollToCard(desk.position);
  await Promise.all([showList(), showProgress()]);
}

function drawCard(focus) {
  const {card} = desk;
  $("closer").hidden = !card;
  if (!card) {
    $("name").textContent = text("no_cards");
    return;
  }
  $("name").textContent = card.name;
  $("message").replaceChildren(...reasons(card.row.message || "").map(({text: told}) => element("li", told)));
  if (card.answers) {
    const answers = card.answers.map(({reading}) => reading).join(` ${text("or")} `);
    $("message").append(element("li", text("why_answers", {answers})));
  }
  $("boxes").className = card.boxes.length === 17 ? "whole" : "";
  $("boxes").replaceChildren(...card.boxes.map((source, box) => {
    const made = button("", () => act(() => select(box)));
    made.append(element("small", box + 1), picture(source), element("b"), element("i"));
    return made;
  }));
  $("strip").replaceChildren(...card.boxes.map(picture));
  if (desk.by) say(text("leased", {by: desk.by}));
  drawReading();
  drawBox(focus);
}

function drawReading() {
  const {card, state} = desk, {status} = state, reading = numberOf(state.reading);
  const shown = reading.replaceAll(NONE, "·");
  const parts = shown.length === 17 ? [shown.slice(0, 3), shown.slice(3, 9), shown.slice(9)] : [shown];
  $("number").replaceChildren(...parts.map(part => element("span", part)));
  const known = tells(reading);
  $("check").className = known.check_digit || "";
  $("check").textContent = known.check_digit
    ? text(`check_${known.check_digit}`, {digit: checkDigit(reading)}) : "";
  const region = known.region && (hasText(`region_${known.region}`) ? text(`region_${known.region}`) : known.region);
  const year = known.model_year && known.model_year.replace("or", text("or"));
  $("told").textContent = [region, known.manufacturer, year].filter(Boolean).join(" · ");
  const now = status !== "open" ? status : card.blind ? "blind" : card.doubtful ? "doubtful" : "sure";
  $("place").textContent = desk.position === null ? text(`state_${now}`)
    : text("place", {at: count(desk.position + 1), all: count(settings.cards), state: text(`state_${now}`)});
  $("card").dataset.status = status;
  const made = card.events.find(event => event.id === state.decision);
  $("decided").textContent = made ? text("decided_by",
    {state: text(`state_${status}`), by: state.by || "—", at: new Date(made.at).toLocaleString(language)}) : "";
  [...$("boxes").children].forEach((button, box) => drawBoxState(button, box));
}

function drawBoxState(button, box) {
  const {card, state} = desk, doubtful = isDoubtfulBox(box) && state.status === "open";
  const out = state.reading[box] === LEFT_OUT;
  const character = isTyped(box) && !out ? state.reading[box] : "";
  const second = doubtful && card.alternatives[box].map(([one]) => one).find(one => one !== character);
  const settled = !card.blind && state.settled.has(box);
  button.className = "box" + (isEdited(box) ? " edited" : doubtful ? " doubt" : settled ? " settled" : "");
  button.querySelector("b").textContent = character || (out ? "✂" : "·");
  button.querySelector("i").textContent = second ? `${second}?` : settled ? "✓" : "";
  const notes = [isEdited(box) && "corrected", doubtful && "doubtful", settled && !isEdited(box) && "confirmed"];
  const label = out ? `${text("box", {box: box + 1})}: ${text("left_out")}`
    : character ? text("box_label", {box: box + 1, character}) : text("box_empty", {box: box + 1});
  button.setAttribute("aria-label", [label, ...notes.filter(Boolean).map(note => text(note))].join(", "));
}

function drawBox(focus) {
  const {card, box} = desk;
  [...$("boxes").children].forEach((one, i) => setCurrent(one, i === box));
  [...$("strip").children].forEach((image, i) => image.toggleAttribute("data-selected", i === box));
  $("strip").children[box]?.scrollIntoView({block: "nearest", inline: "center"});
  $("which").textContent = card.boxes.length ? text("box", {box: box + 1}) : text("no_boxes");
  $("restore").hidden = card.blind;
  if (focus) ($("boxes").children[box] || $("accept")).focus({preventScroll: true});
  const told = card.boxes.length ? why(box) : [];
  $("choices").replaceChildren(...(card.alternatives[box] || []).map(choice));
  $("why").replaceChildren(...told.map(line => element("li", line)));
}

function choice([character, probability], rank) {
  const made = button(character, () => seen(() => decideBox(character)), rank < 2 ? "likely" : "");
  const told = [percent(probability), rank < 2 && consequence(character)].filter(Boolean);
  made.append(...told.map(line => element("small", line)));
  made.setAttribute("aria-pressed", String(character === desk.state.reading[desk.box]));
  made.setAttribute("aria-label", [character, ...told].join(", "));
  return made;
}

// What a character in the selected box would mean for the number.
function consequence(character) {
  const {state, box} = desk;
  const told = tells(numberOf(state.reading.slice(0, box) + character + state.reading.slice(box + 1)));
  if (!told.check_digit) return "";
  if (box < 3 && told.manufacturer) return told.manufacturer;
  if (box === 9 && told.model_year) return text("year", {year: told.model_year.replace("or", text("or"))});
  if (told.check_digit === "ok") return text("would_hold");
  return told.check_digit === "wrong" ? text("would_fail") : "";
}

// Why a box is as it is, or doubtful: the rules, the reader's doubt, known numbers.
function why(box) {
  const {card} = desk;
  if (card.blind) return [];
  const {message = "", raw = ""} = card.row, all = reasons(message);
  const told = all.filter(reason => reason.box === box).map(reason => reason.text);
  if (isDoubtfulBox(box) && raw[box] === card.start[box] && card.confidences[box] < settings.unsure) {
    told.push(text("why_unsure", {share: percent(card.confidences[box])}));
  }
  const alike = isDoubtfulBox(box) && ALIKE.find(group => group.includes(desk.state.reading[box]));
  if (alike) told.push(text("hint", {characters: [...alike].join(" ")}));
  return [...told, ...all.filter(reason => reason.box === null).map(reason => reason.text)];
}

// What the person does

function select(box, chosen = false) {
  if (!desk.card || box < 0 || box >= desk.card.boxes.length) return;
  Object.assign(desk, {box, chosen});
  drawBox(true);
}

function isLocked() {
  if (desk.by) say(text("leased", {by: desk.by}));
  return !desk.card || Boolean(desk.by);
}

// Says events of the card shown, as one step, and shows what they make of it; the id of the last.
async function decide(...events) {
  const {card, over} = desk, before = desk.state.status;
  say("");
  const said = does(events.map(event => ({card: card.id, ...event, ...(over ? {over} : {})})));
  card.events.push(...said);
  desk.state = replay(card.start, card.events);
  drawReading();
  drawBox(true);
  if (desk.state.status !== before) await showChange();   // else nothing else has changed
  return said.at(-1).id;
}

function decideBox(character) {
  const {card, box, state} = desk;
  if (isLocked() || !card.boxes.length) return;
  if (state.reading[box] === character && !isDoubtfulBox(box)) return;
  return decide({kind: "box", box, character, view: "card"});
}

async function typeBox(character) {
  if (isLocked()) return;
  const {box, chosen} = desk;
  await decideBox(character);
  const next = chosen ? nextDoubtful(box + 1) : -1;
  if (next >= 0) select(next, true);
  else select(Math.min(box + 1, desk.card.boxes.length - 1), chosen);
}

function turn(step) {
  const likely = (desk.card.alternatives[desk.box] || []).map(([character]) => character);
  if (!likely.length) return;
  const now = likely.indexOf(desk.state.reading[desk.box]);
  return decideBox(likely[(now + step + likely.length) % likely.length]);
}

function nextDoubtfulBox() {
  const next = nextDoubtful(desk.box + 1);
  if (next >= 0) select(next, true);
}

async function restore() {
  if (isLocked() || desk.card.blind) return;
  const {card, state} = desk;
  const shown = {kind: "box", view: "card"};
  const boxes = [...card.start].map((character, box) => ({...shown, box, character}));
  const events = boxes.filter(({box, character}) => state.reading[box] !== character);
  if (state.status !== "open") events.push({kind: "open"});
  if (events.length) await decide(...events);
}

async function accept() {
  if (!desk.card) return;
  const {card, state} = desk;
  if (desk.by) return showNext("");
  const missing = state.reading.indexOf(NONE), number = numberOf(state.reading);
  if (missing >= 0) {
    select(missing, true);
    return say(text("not_typed", {box: missing + 1}));
  }
  if (!isNumber(number)) return say(text("number_length", {n: number.length}));
  if (state.status !== "done" || desk.over) {
    if (tells(number).check_digit === "wrong" && desk.warned !== number) {
      desk.warned = number;
      return say(text("check_again", {number}));
    }
    if (await home.isRefused(await decide({kind: "done", vin: state.reading}))) return;
  }
  await showNext(text("accepted", {name: card.name}));
}

async function setStatus(kind) {
  if (isLocked()) return;
  if (desk.state.status === kind) return decide({kind: "open"});
  const {name} = desk.card;
  if (await home.isRefused(await decide({kind}))) return;
  await showNext(text("decided", {name, state: text(`state_${kind}`)}));
}

async function showNext(told) {
  const {card, waiting} = await home.next(desk.card?.id);
  if (card !== null) await showCard(card);
  else if (desk.card) await showCard(desk.card.id, desk.box);
  const over = text(settings.served ? "all_done" : "all_done_disk");
  say([told, card === null && over, waiting && text("wait_for_others", {n: waiting})].filter(Boolean).join(" "));
}

// Page up and down: the card before or after in the list, whatever its state.
async function showNeighbour(step) {
  const to = (desk.position ?? 0) + step;
  if (to < 0 || to >= settings.cards) return;
  const [card] = await home.list(to, 1);
  if (card) await showCard(card.id);
  desk.position = to;
}

const cardKeys = {
  ArrowLeft: () => select(desk.box - 1),
  ArrowRight: () => select(desk.box + 1),
  ArrowUp: () => turn(-1),
  ArrowDown: () => turn(1),
  Home: () => select(0),
  End: () => select(desk.card.boxes.length - 1),
  " ": nextDoubtfulBox,
  Backspace: () => desk.card.blind ? select(desk.box - 1) : decideBox(desk.card.start[desk.box]),
  Delete: () => desk.card.boxes.length > 17 && decideBox(LEFT_OUT),
  Enter: accept,
  F4: () => setStatus("original"),
  F8: () => setStatus("unreadable"),
  PageUp: () => showNeighbour(-1),
  PageDown: () => showNeighbour(1),
};
