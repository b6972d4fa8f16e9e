// What a key means, whatever the keyboard's layout.
//
// 1. A Latin letter or a digit is what the layout says it is.
// 2. Where the layout gives another script, the key's place counts: the Latin letter printed on it
//    beside the Cyrillic one, or the digit. Only so can all 33 characters be typed: no Cyrillic
//    letter looks like D, F, J, L, N, R, V ...
// 3. What has no Latin letter in its place (Х, on the key [), or comes without a place (a screen
//    keyboard), is taken as the Latin letter it looks like.
//
// 2 and 3 are told to the clerk each time, and 2 also how to type the letter that it looks like.

const LOOKS_LIKE = {
  А: "A", В: "B", Е: "E", К: "K", М: "M", Н: "H", Р: "P", С: "C", Т: "T", У: "Y", Х: "X",
  І: "I", О: "O",
};

// {character, note} of a key that types a character, a valid one or not; else null.
function typed(event) {
  if ([...event.key].length !== 1) return null;
  const key = event.key.toUpperCase();
  if (/^[A-Z0-9]$/.test(key)) return {character: key, note: ""};
  const digit = event.shiftKey ? null : /^(?:Digit|Numpad)(\d)$/.exec(event.code);
  if (digit) return {character: digit[1], note: ""};   // the upper row without Shift on AZERTY
  if (!/^\p{L}$/u.test(key)) return null;
  const look = LOOKS_LIKE[key];
  const place = /^Key([A-Z])$/.exec(event.code);
  if (place) {
    const character = place[1];
    const differs = look && look !== character && settings.characters.includes(look);
    return {character, note: text(differs ? "by_place_not_look" : "by_place", {typed: key, character, look})};
  }
  return look ? {character: look, note: text("by_look", {typed: key, character: look})} : null;
}

// Ctrl+Z by the letter of a Latin layout, by the key's place on any other.
function isUndo(event) {
  if (!(event.ctrlKey || event.metaKey) || event.altKey || event.shiftKey) return false;
  const key = event.key.toLowerCase();
  return key === "z" || (event.code === "KeyZ" && !/^[a-z]$/.test(key));
}
