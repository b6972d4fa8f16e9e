// The list of cards: however many there are, only those in sight are in the page.

const ROW = 34;      // pixels
const BEYOND = 8;    // rows before and after those in sight

const SIGNS = {done: "✓", unreadable: "✗", original: "▤", waiting: "…"};

let listDrawn = 0;   // which drawing is the newest: an older one that comes late is dropped

async function showList() {
  const drawn = ++listDrawn, nav = $("list").parentElement;
  const first = Math.max(Math.floor(nav.scrollTop / ROW) - BEYOND, 0);
  const many = Math.min(Math.ceil(nav.clientHeight / ROW) + 2 * BEYOND, settings.cards - first);
  const wanted = $("find").value.trim();
  const cards = wanted ? await home.find(wanted) : await home.list(first, many);
  if (drawn !== listDrawn) return;
  const focused = nav.contains(document.activeElement);
  $("list").style.height = `${(wanted ? Math.max(cards.length, 1) : settings.cards) * ROW}px`;
  $("list").replaceChildren(...cards.map((card, i) => listRow(card, wanted ? i : first + i)));
  if (!cards.length && settings.cards) $("list").append(element("li", text("found_none")));
  if (focused) $("list").querySelector("[aria-current]")?.focus();
}

function listRow({id, name, doubtful, status, leased_by: by}, position) {
  const state = status !== "open" ? status : doubtful ? "doubtful" : "sure";
  const sign = SIGNS[status] || (by ? "◔" : doubtful ? "●" : "○");
  const item = element("li"), made = button(`${sign} ${name}`, () => act(() => showCard(id)));
  made.title = name;
  const says = by ? text("state_leased", {by}) : text(`state_${state}`);
  made.setAttribute("aria-label", `${name}, ${says}`);
  setCurrent(made, id === desk.card?.id);
  item.style.top = `${position * ROW}px`;
  item.setAttribute("aria-posinset", position + 1);
  item.setAttribute("aria-setsize", settings.cards);
  item.append(made);
  return item;
}

function scrollToCard(position) {
  const nav = $("list").parentElement, top = position * ROW;
  if (top < nav.scrollTop) nav.scrollTop = top;
  else if (top + ROW > nav.scrollTop + nav.clientHeight) nav.scrollTop = top + ROW - nav.clientHeight;
}
