"use strict";

function $(id) { return document.getElementById(id); }

function element(tag, content = "", className = "") {
  return Object.assign(document.createElement(tag), {textContent: content, className});
}

function button(content, clicked, className) {
  const made = Object.assign(element("button", content, className), {type: "button"});
  made.addEventListener("click", clicked);
  return made;
}

// Does something with all parts of the page that have data-<name>, and its value.
function each(name, work) {
  for (const one of document.querySelectorAll(`[data-${name}]`)) work(one, one.dataset[name]);
}

// A box's image, or what stands in its place where there is none.
function picture(source) {
  if (!source) return element("span", text("no_picture"), "none");
  return Object.assign(element("img"), {src: source, alt: ""});
}

// Whether this is the one of its group that is selected, which Tab goes to.
function setCurrent(one, isCurrent) {
  one.tabIndex = isCurrent ? 0 : -1;
  if (isCurrent) one.setAttribute("aria-current", "true");
  else one.removeAttribute("aria-current");
}

function pause(milliseconds) { return new Promise(done => setTimeout(done, milliseconds)); }

// The small choices of a person (language, name), where the browser keeps such things.
function recall(name) {
  try { return localStorage.getItem(`vin-review/${name}`); } catch { return null; }
}

function remember(name, value) {
  try { localStorage.setItem(`vin-review/${name}`, value); } catch { /* asked again next time */ }
}

const settings = JSON.parse($("settings").textContent);
