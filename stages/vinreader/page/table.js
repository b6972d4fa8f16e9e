// The corrected vins.csv, as the page from disk writes it; the station writes the same.

function decidedRow(row, read, state, at) {
  if (state.status === "open") return row;
  const said = {...row, read_as: read, clerk: state.by || "", decided_at: at.replace(/\.\d+Z$/, "Z")};
  if (state.status !== "done") return {...said, status: "review", decision: state.status};
  const vin = numberOf(state.reading), decision = vin === read ? "confirmed" : "corrected";
  return {...said, vin, status: "ok", decision, ...tells(vin)};
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
