// The page served by the station: cards come from it, decisions go to it. What cannot be sent is
// kept by the browser and sent when the station answers again.

const RETRY = 2000, BEAT = 10000;   // milliseconds
const TOGETHER = 500;    // events of one request
const LISTED = 200;      // cards of one request for the list

function stationHome(notice) {
  const kept = keeper(`station ${location.origin} ${settings.key}`);
  const browser = recall("browser") || crypto.getRandomValues(new Uint32Array(4)).join("-");
  remember("browser", browser);
  const waiting = [];            // events that are not accepted yet, in order
  const listed = new Map();      // pieces of the list
  const positions = new Map();   // in the list, of the cards that were shown
  const refusedIds = new Set();
  let sending = null;
  let said = Promise.resolve();  // all events so far are sent: what is asked next counts with them

  async function ask(path, body) {
    const options = {headers: {
      "X-Clerk": encodeURIComponent(station.clerk), "X-Browser": browser, "X-Language": language,
    }};
    if (body !== undefined) {
      options.method = "POST";
      options.headers["Content-Type"] = "application/json";
      options.body = JSON.stringify(body);
    }
    const answer = await fetch(`/api/${path}`, options);
    if (answer.ok) return answer.json();
    const said = await answer.json().catch(() => ({}));
    throw Object.assign(new Error(said.error || `${answer.status}`), {status: answer.status, code: said.code});
  }

  // Asks until there is an answer: no connection is not the clerk's to mend.
  async function insist(path, body) {
    for (;;) {
      try {
        const answer = await ask(path, body);
        notice.connection(waiting.length, true);
        return answer;
      } catch (error) {
        if (error.status === 401 || error.status === 403) throw new Error(text("not_allowed"));
        if (error.code === "name") await notice.taken(text("ask_taken", {name: station.clerk}));
        else if (error.code === "gone") notice.gone();
        else if (error.status && error.status !== 503) throw error;
        else notice.connection(waiting.length, false);
        await pause(RETRY);
      }
    }
  }

  async function sendWaiting() {
    while (waiting.length) {
      const together = waiting.slice(0, TOGETHER);
      const {accepted, refused} = await insist("events", together);
      const settled = new Set([...accepted, ...refused.map(({id}) => id)]);
      refused.forEach(({id}) => refusedIds.add(id));
      waiting.splice(0, waiting.length, ...waiting.filter(event => !settled.has(event.id)));
      await kept.remove(settled).catch(() => {});
      if (refused.length) notice.refused(refused, together);
      if (!settled.size) throw new Error(text("no_connection"));   // never the same for ever
    }
    notice.connection(0, true);
  }

  function send() {
    return sending ||= sendWaiting().catch(error => notice.failed(error)).finally(() => { sending = null; });
  }

  // A page at which nobody does anything learns, too, what has become of the station.
  setInterval(() => ask("progress").then(
    () => waiting.length || notice.connection(0, true),
    error => error.code === "gone" ? notice.gone() : error.status || notice.connection(waiting.length, false),
  ), BEAT);

  const station = {
    clerk: recall("clerk") || "",
    // Goes on by a name; what the station has against it, else "".
    async signIn(name, take = false) {
      const before = station.clerk;
      station.clerk = name;
      try {
        station.clerk = (await ask(`sign-in${take ? "?take" : ""}`, {})).clerk;
      } catch (error) {
        if (error.code === "name") return text("ask_taken", {name});
        if (error.status && error.status !== 503) {
          station.clerk = before;
          return error.message;
        }   // else there is no connection now: what is asked next insists
      }
      remember("clerk", station.clerk);
      return "";
    },
    // Whether the station has refused an event, once it has answered.
    async isRefused(id) {
      await said;
      return refusedIds.has(id);
    },
    async open() {
      waiting.push(...await kept.all().catch(() => []));
      if (waiting.length) said = send();
      return [];   // what can be undone begins with this visit
    },
    send(events) {
      listed.clear();
      waiting.push(...events);
      said = kept.add(events).catch(notice.notKept).then(send);
      return said;
    },
    async list(from, many) {
      const found = [];
      for (let part = Math.floor(from / LISTED); part * LISTED < from + many; part++) {
        if (!listed.has(part)) {
          if (listed.size > 20) listed.clear();
          listed.set(part, insist(`cards?from=${part * LISTED}&count=${LISTED}`));
          listed.get(part).catch(() => listed.delete(part));
        }
        found.push(...(await listed.get(part)).cards);
      }
      const before = from % LISTED;
      return found.slice(before, before + many);
    },
    async find(wanted) {
      return (await insist(`cards?count=${LISTED}&find=${encodeURIComponent(wanted)}`)).cards;
    },
    report() { return insist("report"); },
    async position(id) { return positions.get(id) ?? null; },
    async card(id) {
      await said;
      const card = await insist(`cards/${id}`);
      positions.set(id, card.position);
      return card;
    },
    async next(after = -1) {
      await said;
      return insist(`next?after=${after}`);
    },
    async lease(id) {
      await said;
      return insist("lease", {card: id});
    },
    async characters() {
      await said;
      return insist("mosaic");
    },
    async mosaic(character, many, marked) {
      await said;
      return insist(`mosaic?character=${character}&doubtful=${Number(marked)}&count=${many}`);
    },
    async progress() {
      const all = await insist("progress");
      return {...all, per_hour: all.clerk.done < 10 ? null : all.clerk.per_hour};
    },
  };
  return station;
}
