// Boxes read alike, least sure first: the odd ones are marked, the rest is confirmed. It settles
// boxes and decides no card. Some boxes are planted that are known to be wrong.

const LEAST = 60, MOST = 100;      // boxes on a screen
const CELL = [76, 96];             // pixels of one, at the usual size of letters

// The character, its boxes, the mark of each ("" for none, " " for left to its card), the box
// selected, boxes of that character left, those left to their cards, what planted boxes tell.
const mosaic = {character: "", boxes: [], marks: [], at: 0, left: 0, counts: {}, skipped: new Set(),
  shown: 0, found: 0};

function screenful() {
  const em = parseFloat(getComputedStyle(document.documentElement).fontSize) / 16;
  const width = $("mosaic").clientWidth || innerWidth, height = innerHeight - 330 * em;
  const fits = Math.floor(width / (CELL[0] * em)) * Math.floor(height / (CELL[1] * em));
  return Math.min(Math.max(fits, LEAST), MOST);
}

function placeOf({card, box}) { return `${card}/${box}`; }

async function showMosaic(character) {
  mosaic.counts = await home.characters();
  const left = Object.keys(mosaic.counts).filter(one => mosaic.counts[one] > 0);
  if (!left.includes(character)) character = undefined;
  mosaic.character = character || left.sort((a, b) => mosaic.counts[b] - mosaic.counts[a])[0] || "";
  const many = screenful();
  const skipped = [...mosaic.skipped].filter(place => place.endsWith(mosaic.character)).length;
  const found = mosaic.character ? await home.mosaic(mosaic.character, many + skipped) : {left: 0, boxes: []};
  mosaic.boxes = found.boxes.filter(box => !mosaic.skipped.has(placeOf(box) + mosaic.character)).slice(0, many);
  mosaic.left = found.left - skipped;
  mosaic.marks = mosaic.boxes.map(() => "");
  mosaic.at = 0;
  drawMosaic(true);
  await showProgress();
}

function drawMosaic(focus) {
  const {character, boxes, left} = mosaic;
  $("mosaic-title").textContent = character ? text("mosaic_title", {character}) : text("mosaic_none");
  const sure = boxes.filter(box => !box.planted).map(box => box.confidence);
  $("mosaic-place").textContent = sure.length ? text("mosaic_place", {left: count(left),
    from: percent(Math.min(...sure)), to: percent(Math.max(...sure))}) : "";
  $("characters").replaceChildren(...[...settings.characters].filter(one => mosaic.counts[one] > 0).map(one => {
    const button = element("button", one), left = count(mosaic.counts[one]);
    button.append(element("small", left));
    button.setAttribute("aria-label", text("character_left", {character: one, left}));
    button.setAttribute("aria-pressed", String(one === character));
    button.addEventListener("click", () => act(() => showMosaic(one)));
    return button;
  }));
  $("mosaic").replaceChildren(...boxes.map(({image: source}, i) => {
    const cell = element("button"), image = element("img");
    image.src = source;
    image.alt = "";
    cell.append(image, element("b"));
    cell.addEventListener("click", () => act(() => selectCell(i)));
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
    cell.tabIndex = i === mosaic.at ? 0 : -1;
    if (i === mosaic.at) cell.setAttribute("aria-current", "true");
    else cell.removeAttribute("aria-current");
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
  const {character, boxes, marks} = mosaic, confirmed = new Map(), events = [], missed = [];
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
  say(told.join(" "));
}

function showMissed(images, character) {
  $("missed").hidden = !images.length;
  $("missed").replaceChildren();
  if (!images.length) return;
  $("missed").append(element("p", text("missed", {n: images.length, character})), ...images.map(source => {
    const image = element("img");
    image.src = source;
    image.alt = "";
    return image;
  }));
}

function otherCharacter(step) {
  const all = [...settings.characters].filter(one => mosaic.counts[one] > 0);
  if (!all.length) return;
  showMissed([], "");
  return showMosaic(all[(all.indexOf(mosaic.character) + step + all.length) % all.length]);
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
