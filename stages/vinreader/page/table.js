// The corrected vins.csv, as the page from disk writes it; the station writes the same.

function decidedRow(row, reading, state) {
  const add = message => [row.message, message].filter(Boolean).join("; ");
  if (state.status === "unreadable") {
    return {...row, status: "review", message: add("a person cannot read it")};
  }
  if (state.status === "original") {
    return {...row, status: "review", message: add("needs the original, says a person")};
  }
  if (state.status === "open") return row;
  const changed = [...state.reading].flatMap((character, i) =>
    character === reading[i] ? [] : [`box ${i + 1}: ${reading[i]} -> ${character}`]);
  const message = changed.length ? `corrected by a person (${changed.join(", ")})` : "checked by a person";
  return {...row, vin: state.reading, status: "ok", ...tells(state.reading), message: add(message)};
}

function cell(value) {
  let shown = value ?? "";
  if (/^[=+\-@\t\r]/.test(shown)) shown = "'" + shown;   // no spreadsheet takes it for a formula
  return /[",\r\n]/.test(shown) ? `"${shown.replaceAll('"', '""')}"` : shown;
}

async function download() {
  const lines = [settings.columns.join(",")];
  for await (const row of home.rows()) {
    lines.push(settings.columns.map(column => cell(row[column])).join(","));
  }
  const link = element("a");
  link.href = URL.createObjectURL(new Blob([lines.join("\n"), "\n"], {type: "text/csv"}));
  link.download = "vins.csv";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  const {done} = await home.progress();
  say(text("downloaded", {n: settings.cards, done}));
}
