// What the page says, in the language of the browser or the one chosen: all of it in texts.json.

const texts = JSON.parse($("texts").textContent);
let language = recall("language") || (navigator.language.startsWith("uk") ? "uk" : "en");

// A text with its {values}; one that depends on a number n has its plural forms.
function text(key, values = {}) {
  let found = texts[language][key];
  if (typeof found === "object") {
    found = found[new Intl.PluralRules(language).select(values.n)] || found.other;
  }
  return found.replace(/\{(\w+)\}/g, (_, name) => values[name]);
}

function hasText(key) { return key in texts[language]; }

// A number in the digits and separators of the language.
function count(number) { return number.toLocaleString(language); }

function percent(p) {
  const shown = p >= 0.9995 ? "> 99.9" : p < 0.001 ? "< 0.1" : (100 * p).toFixed(p < 0.1 || p > 0.99 ? 1 : 0);
  return `${language === "uk" ? shown.replace(".", ",") : shown} %`;
}

// What stands in the page itself and does not change with the card.
function showTexts() {
  document.documentElement.lang = language;
  document.title = text("title");
  each("text", (shown, key) => { shown.textContent = text(key); });
  each("label", (shown, key) => shown.setAttribute("aria-label", text(key)));
  each("language", (shown, one) => shown.setAttribute("aria-pressed", String(one === language)));
  each("keys", (list, key) => list.replaceChildren(...texts[language][key].map(([keys, does]) => {
    const item = element("li");
    item.append(...keys.split(" ").map(one => element(one === "…" ? "span" : "kbd", one)));
    item.append(element("span", does));
    return item;
  })));
}

// Messages of vins.csv are English: those that are known are told in the page's language.
const MESSAGES = [
  [/^box (\d+): (.) -> (.) \((.*)\)$/, (box, read, became, rule) =>
    text("why_rule", {box, read, became, rule: hasText(`rule_${rule}`) ? text(`rule_${rule}`) : rule})],
  [/^box (\d+): (blot|no ink)$/, (box, what) => text(`message_${what}`, {box})],
  [/^in the list of known numbers$/, () => text("message_list")],
  [/^known number (\w{17}) differs in box(?:es)? ([\d and]+)$/, (number, boxes) =>
    text("message_known", {number, boxes: boxes.replaceAll(" and ", ", ")})],
  [/^same number as (.*)$/, name => text("message_same", {name})],
  [/^like (.*) but for box (\d+)$/, (name, box) => text("message_like", {name, box})],
];

// [{box, text}] of a message, box 0-based, or null where it is about the whole card.
function reasons(message) {
  return message.split("; ").filter(Boolean).map(part => {
    const box = /^box (\d+): /.exec(part);
    const [pattern, tell] = MESSAGES.find(([one]) => one.test(part)) || [/(.*)/s, all => all];
    return {box: box ? Number(box[1]) - 1 : null, text: tell(...pattern.exec(part).slice(1))};
  });
}
