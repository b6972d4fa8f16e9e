"use strict";

function $(id) { return document.getElementById(id); }

function element(tag, content, className) {
  const made = document.createElement(tag);
  if (content !== undefined) made.textContent = content;
  if (className) made.className = className;
  if (tag === "button") made.type = "button";
  return made;
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
