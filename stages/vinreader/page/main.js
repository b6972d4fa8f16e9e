// The page as a whole: its two views, keys, undo, language; and its beginning.

let view = "card";
let steps = [];   // what can be undone: the events of each step, the newest last
let acting = Promise.resolve();

function say(told) { $("said").textContent = told; }

// What is on the screen: a key counts only for what was there, complete, when it was pressed.
const sight = {
  number: 0,
  complete: false,
  leave() {
    sight.number++;
    sight.complete = false;
  },
  async enter(images) {
    const {number} = sight;
    await Promise.all([...images].map(image => image.decode().catch(() => {})));
    await Promise.race([new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done))), pause(200)]);
    if (number === sight.number) sight.complete = true;
  },
};

function seen(work) {
  const {number, complete} = sight;
  if (complete) act(() => number === sight.number && work());
}

// Does one thing after the other, also when keys come while a card is still on its way.
function act(work) {
  acting = acting.then(work).catch(error => {
    say(error.message);
    if (!sight.complete) sight.enter([]);   // what was there before is there still
  });
  return acting;
}

// Says events of one step, which can be undone.
function does(events) {
  const said = stamped(events, home.clerk);
  steps.push(said);
  home.send(said);
  return said;
}

// Takes the last step back and shows where it was made. A planted box stays as it was answered.
async function undo() {
  const step = (steps.pop() || []).filter(event => event.kind !== "planted");
  if (!step.length) return say(text("nothing_to_undo"));
  home.send(stamped(step.map(({id, card}) => ({kind: "undo", card, undoes: id})), home.clerk));
  const {kind, card, box, boxes, view: where} = step[0];
  if (kind === "confirm" || where === "mosaic") {
    const {start} = await home.card(card);
    mosaic.skipped.clear();
    await setView("mosaic", start[box ?? boxes[0]]);
  } else {
    await setView("card", card, box);
  }
  say(text("undone"));
}

// The steps of an earlier visit, from all its events.
function stepsOf(events) {
  const ids = undone(events), found = new Map();
  for (const event of events) {
    if (event.kind === "undo" || ids.has(event.id)) continue;
    if (!found.has(event.at)) found.set(event.at, []);
    found.get(event.at).push(event);
  }
  return [...found.keys()].sort().map(at => found.get(at));
}

async function setView(to, ...where) {
  view = to;
  for (const one of ["card", "mosaic", "lead"]) {
    $(`${one}-view`).hidden = to !== one;
    $(`to-${one}`).setAttribute("aria-pressed", String(to === one));
  }
  showMissed([], "");
  say("");
  if (to === "lead") await showLead();
  else if (to === "mosaic") await showMosaic(where[0] || mosaic.character, Boolean(where[0]));
  else if (where.length) await showCard(...where);
  else if (desk.card) await showCard(desk.card.id);
  else await showFirst();
}

async function showFirst() {
  const {card} = await home.next(), [first] = card === null ? await home.list(0, 1) : [];
  if (card !== null || first) await showCard(card ?? first.id);
  else {
    drawCard(false);
    sight.enter([]);
  }
}

async function showProgress() {
  const {total, open, per_hour: rate} = await home.progress();
  $("bar").max = total || 1;
  $("bar").value = total ? total - open : 1;
  $("progress").textContent = text(total ? "progress" : "progress_none", {done: count(total - open), all: count(total)});
  const left = count(open);
  $("pace").textContent = rate ? text("pace", {left, rate: count(rate)}) : text("pace_unknown", {left});
}

function showChange() { return Promise.all([showProgress(), showList()]); }

// Keys

const DECIDING = ["Enter", "F2", "F4", "F8"];

function keyAction(event) {
  if (isUndo(event)) return undo;
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return null;
  if (event.key === "F2") return () => setView(view === "card" ? "mosaic" : "card");
  if (view === "lead") return null;
  const keys = view === "card" ? cardKeys : mosaicKeys;
  if (view === "card" && !desk.card) return null;
  if (Object.hasOwn(keys, event.key)) return keys[event.key];
  const {character, note} = typed(event) || {};
  if (!character) return null;
  if ("IOQ".includes(character)) {
    return () => say(text("no_letter", {character, instead: character === "I" ? "1" : "0"}));
  }
  return async () => {
    await (view === "card" ? typeBox : markCell)(character);
    if (note) say(note);
  };
}

document.addEventListener("keydown", event => {
  if (event.target.closest("dialog, input")) return;
  showLayout(event);
  const onButton = event.target.closest("button:not(.box, .cell)");
  if (onButton && (event.key === "Enter" || event.key === " ")) return;   // the button's own
  const action = keyAction(event);
  if (!action) return;
  event.preventDefault();
  // A key that is held down decides once: the next card or screen has not been looked at.
  if (!(event.repeat && DECIDING.includes(event.key))) seen(action);
});

// Which layout the keyboard has: told by the last letter typed.
function showLayout({key}) {
  if (/^\p{L}$/u.test(key)) $("layout-badge").textContent = text(/[a-z]/i.test(key) ? "layout_latin" : "layout_cyrillic");
}

// What the station says by itself

const notice = {
  notKept() {
    if (settings.served) say(text("not_kept_served"));
    else $("connection").textContent = text("not_kept");   // until the page is left
  },
  failed: error => say(error.message),
  connection(waiting, connected) {
    $("connection").textContent = connected ? ""
      : waiting ? text("waiting", {n: waiting}) : text("no_connection");
  },
  refused(refused, events) {
    const {id, why, decision} = refused.at(-1);
    const event = events.find(one => one.id === id);
    act(async () => {
      const had = event?.vin || (desk.card?.id === event?.card && desk.state.reading) || "";
      if (view === "card" && event) await showCard(event.card, event.box);
      desk.over = decision || null;
      say(had ? text("refused_shown", {why, number: numberOf(had)}) : text("refused", {why}));
    });
  },
  gone: () => { $("connection").textContent = text("gone"); },
  // Another browser goes by this clerk's name: whoever sits here says who that is.
  async taken(told) {
    if ($("ask").open) return;
    await askName(told);
    showAll();
  },
};

// Asks for the clerk's name until the station takes it. told: why it is asked.
async function askName(told = "") {
  for (;;) {
    $("ask-name").value = home.clerk;
    $("ask-why").textContent = told;
    $("ask-take").hidden = !told;
    $("ask").returnValue = "";
    $("ask").showModal();
    await new Promise(done => $("ask").addEventListener("close", done, {once: true}));
    const name = $("ask-name").value.trim() || home.clerk;
    told = name && await home.signIn(name, $("ask").returnValue === "take");
    if (name && !told) return;
  }
}

function showAll() {
  showTexts();
  $("clerk").hidden = !settings.served;
  $("clerk").textContent = text("clerk", {name: home.clerk});
  $("download").hidden = Boolean(settings.served);
  $("to-lead").hidden = !settings.served;
  $("find").placeholder = text("find");
}

function listen() {
  const clicks = {
    accept, undo, restore, download, confirm: confirmRest,
    unreadable: () => setStatus("unreadable"),
    original: () => setStatus("original"),
    print: () => window.print(),
    "to-card": () => setView("card"),
    "to-mosaic": () => setView("mosaic"),
    "to-lead": () => setView("lead"),
    clerk: async () => { await askName(); showAll(); },
  };
  const deciding = new Set(["accept", "confirm", "unreadable", "original", "restore"]);
  for (const [id, work] of Object.entries(clicks)) {
    $(id).addEventListener("click", () => (deciding.has(id) ? seen : act)(work));
  }
  each("language", (button, chosen) => button.addEventListener("click", () => act(async () => {
    language = chosen;
    remember("language", language);
    showAll();
    if (view === "lead") await showLead();
    else if (view === "mosaic") drawMosaic(false);
    else drawCard(false);
    await showChange();
  })));
  $("find").addEventListener("input", () => act(showList));
  $("list").parentElement.addEventListener("scroll", () => requestAnimationFrame(showList));
  addEventListener("resize", () => requestAnimationFrame(showList));
}

const home = settings.served ? stationHome(notice) : diskHome(notice);

act(async () => {
  showAll();
  listen();
  if (settings.served) {
    const told = home.clerk && await home.signIn(home.clerk);
    if (told || !home.clerk) await askName(told);
  }
  showAll();
  steps = stepsOf(await home.open());
  await showFirst();
}).finally(() => { document.body.dataset.ready = "true"; });
