// Boxes read alike, least sure first: the odd ones are marked, the rest is confirmed. It settles
// boxes and decides no card. First come the boxes that have to be looked at, of all characters; then
// the others, for who wants to. Some boxes are planted that are known to be wrong.

const LEAST = 60, MOST = 100;      // boxes on a screen
const CELL = [76, 96];             // pixels of one, at the usual size of letters

// The character, its boxes, whether they have to be looked at, the mark of each ("" for none, " " for
// left to its card), the box selected, how many are left like these and of each character, those
// left to their cards, what planted boxes tell.
const mosaic = {character: "", boxes: [], doubtful: true, marks: [], at: 0, left: 0,
  counts: {all: {}, doubtful: {}}, skipped: new Set(), shown: 0, found: 0};

function screenful() {
  const em = parseFloat(getComputedStyle(document.documentElement).fontSize) / 16;
  const width = $("mosaic").clientWidth || innerWidth, height = innerHeight - 330 * em;
  const fits = Math.floor(width / (CELL[0] * em)) * Math.floor(height / (CELL[1] * em));
  return Math.min(Math.max(fits, LEAST), MOST);
}

function placeOf({card, box}) { return `${card}/${box}`; }

// Shows a character's boxes; when none is left of it, or none that has to be looked at and the
// clerk did not choose it, those of the character that has the most.
async function showMosaic(character, chosen) {
  sight.leave();
  mosaic.counts = await home.characters();
  for (const [next, doubtful] of candidates(character, chosen)) {
    if (await loadMosaic(next, doubtful)) break;
  }
  mosaic.marks = mosaic.boxes.map(() => "");
  mosaic.at = 0;
  drawMosaic(true);
  sight.enter($("mosaic").querySelectorAll("img"));
  await showProgress();
}

// What may be shown, best first: characters, and whether those of their boxes that have to be looked at.
function candidates(character, chosen) {
  const {all, doubtful} = mosaic.counts;
  const most = counts => Object.keys(counts).sort((a, b) => counts[b] - counts[a]);
  const others = character in all ? [[character, false]] : [];
  return [
    ...character in doubtful ? [[character, true]] : [],
    ...chosen ? others : [],
    ...most(doubtful).map(one => [one, true]),
    ...others,
    ...most(all).map(one => [one, false]),
    ["", false],
  ];
}

// Loads the boxes of a character, those that have to be looked at or the others; whether there are any.
async function loadMosaic(character, doubtful) {
  const many = screenful(), isLeft = ({card, box}) => !mosaic.skipped.has(placeOf({card, box}) + character);
  const skipped = [...mosaic.skipped].filter(place => place.endsWith(character)).length;
  const found = character ? await home.mosaic(character, many + skipped, doubtful) : {left: 0, boxes: []};
  const open = found.boxes.filter(isLeft), left = found.left - (found.boxes.length - open.length);
  Object.assign(mosaic, {character, doubtful, boxes: open.slice(0, many), left});
  return open.length > 0;
}

function drawMosaic(focus) {
  const {character, boxes, doubtful, left, counts} = mosaic;
  $("mosaic-title").textContent = character ? text("mosaic_title", {character}) : text("mosaic_none");
  const sure = boxes.filter(box => !box.planted).map(box => box.confidence);
  $("mosaic-place").textContent = sure.length ? text(doubtful ? "mosaic_place" : "mosaic_place_sure",
    {left: count(left), from: percent(Math.min(...sure)), to: percent(Math.max(...sure))}) : "";
  $("characters").replaceChildren(...charactersLeft().map(one => {
    const marked = counts.doubtful[one] || 0, show = () => act(() => showMosaic(one, true));
    const values = {character: one, marked: count(marked), left: count(counts.all[one])};
    const made = button(one, show, marked ? "" : "quiet");
    made.append(element("small", `${values.marked}/${values.left}`));
    made.title = text("character_left", values);
    made.setAttribute("aria-label", made.title);
    made.setAttribute("aria-pressed", String(one === character));
    return made;
  }));
  $("mosaic").replaceChildren(...boxes.map(({image: source}, i) => {
    const cell = button("", () => act(() => selectCell(i)));
    cell.append(picture(source), element("b"));
    return cell;
  }));
  $("confirm").disabled = !boxes.length;
  drawMarks();
  if (focus) ($("mosaic").children[mosaic.at] || $("to-card")).focus({preventScroll: true});
}

function drawMarks() {
  [...$("mosaic").children].forEach((cell, i) => {
    const {card, box} = mosaic.boxes[i], mark = mosaic.marks[i];
    cell.className = "cell" + (mark === " " ? " left" : mark ? " odd" : "");
    cell.querySelector("b").textContent = mark === " " ? "?" : mark;
    setCurrent(cell, i === mosaic.at);
    const says = mark === " " ? text("mosaic_left") : mark ? text("mosaic_marked", {character: mark}) : "";
    const label = text("mosaic_cell", {card: card + 1, box: box + 1});
    cell.setAttribute("aria-label", [label, says].filter(Boolean).join(", "));
  });
  const skipped = mosaic.marks.filter(mark => mark === " ").length;
  const marked = mosaic.marks.filter(Boolean).length - skipped;
  const rest = mosaic.boxes.length - marked - skipped;
  $("marked").textContent = mosaic.boxes.length ? text("marked", {marked, skipped, rest}) : "";
}

function selectCell(i) {
  if (i < 0 || i >= mosaic.boxes.length) return;
  mosaic.at = i;
  drawMarks();
  $("mosaic").children[i].focus();
}

function columns() {
  return getComputedStyle($("mosaic")).gridTemplateColumns.split(" ").length;
}

function markCell(character) {
  if (!mosaic.boxes.length) return;
  mosaic.marks[mosaic.at] = character === mosaic.character ? "" : character;
  say("");
  if (mosaic.at < mosaic.boxes.length - 1) selectCell(mosaic.at + 1);
  else drawMarks();
}

function unmarkCell() {
  if (!mosaic.boxes.length) return;
  mosaic.marks[mosaic.at] = "";
  drawMarks();
}

async function confirmRest() {
  const {character, boxes, doubtful: wasDoubtful, marks} = mosaic, confirmed = new Map(), events = [], missed = [];
  if (!boxes.length) return;
  boxes.forEach(({card, box, image, planted}, i) => {
    const mark = marks[i];
    if (planted) {
      events.push({kind: "planted", card, box, found: Boolean(mark), token: planted});
      if (!mark) missed.push(image);
    } else if (mark === " ") {
      mosaic.skipped.add(placeOf({card, box}) + character);
    } else if (mark) {
      events.push({kind: "box", card, box, character: mark, view: "mosaic"});
    } else {
      confirmed.set(card, [...confirmed.get(card) || [], box]);
    }
  });
  for (const [card, found] of confirmed) events.push({kind: "confirm", card, boxes: found});
  const plants = boxes.filter(box => box.planted).length;
  mosaic.shown += plants;
  mosaic.found += plants - missed.length;
  if (events.length) does(events);
  showMissed(missed, character);
  await showMosaic(character);
  const told = [text("settled", {n: boxes.length - plants - marks.filter(mark => mark === " ").length})];
  if (mosaic.shown) told.push(text("found", {found: mosaic.found, all: mosaic.shown}));
  if (wasDoubtful && !mosaic.doubtful) told.push(text("doubtful_settled"));
  say(told.join(" "));
}

function showMissed(images, character) {
  const told = element("p", text("missed", {n: images.length, character}));
  $("missed").hidden = !images.length;
  $("missed").replaceChildren(...images.length ? [told, ...images.map(picture)] : []);
}

function charactersLeft() { return [...settings.characters].filter(one => one in mosaic.counts.all); }

function otherCharacter(step) {
  const all = charactersLeft();
  if (!all.length) return;
  showMissed([], "");
  return showMosaic(all[(all.indexOf(mosaic.character) + step + all.length) % all.length], true);
}

const mosaicKeys = {
  ArrowLeft: () => selectCell(mosaic.at - 1),
  ArrowRight: () => selectCell(mosaic.at + 1),
  ArrowUp: () => selectCell(mosaic.at - columns()),
  ArrowDown: () => selectCell(mosaic.at + columns()),
  Home: () => selectCell(0),
  End: () => selectCell(mosaic.boxes.length - 1),
  " ": () => markCell(" "),
  Backspace: unmarkCell,
  Enter: confirmRest,
  PageUp: () => otherCharacter(-1),
  PageDown: () => otherCharacter(1),
};
