// The page of whoever leads the work: how it goes, by clerk, and on which cards two differ.

async function showLead() {
  sight.leave();
  const {clerks, differ} = await home.report();
  const heads = ["clerk", "cards", "hour", "twice", "agreed", "planted"];
  $("lead-head").replaceChildren(...heads.map(head => element("th", text(`lead_${head}`))));
  $("lead-clerks").replaceChildren(...Object.entries(clerks).map(([name, all]) => {
    const {hours, cards = 0, keyed_twice: twice, agreed, planted, found} = all;
    const hour = hours ? Math.round(cards / hours) : "", of = planted ? `${found} / ${planted}` : "";
    const row = element("tr");
    row.append(...[name, cards, hour, twice, agreed, of].map(cell => element("td", cell ?? "")));
    return row;
  }));
  const cards = differ.map(({id, name}) => {
    const item = element("li");
    item.append(button(name, () => act(() => setView("card", id))));
    return item;
  });
  $("lead-differ").replaceChildren(...cards.length ? cards : [element("li", text("lead_none"))]);
  sight.enter([]);
  await showProgress();
}
