// Events kept by the browser (IndexedDB): from disk all of them, from the station those that are
// not sent yet. `page` tells the events of one page from those of another.

function keeper(page) {
  let opened;   // one connection for all

  function database() {
    return opened ||= new Promise((resolve, reject) => {
      const request = indexedDB.open("vin-review", 1);
      request.onupgradeneeded = () => {
        const store = request.result.createObjectStore("events", {autoIncrement: true});
        store.createIndex("page", "page");
      };
      request.onsuccess = () => resolve(request.result);
      request.onerror = request.onblocked = () => reject(request.error);
    });
  }

  // Does `work` with the store of events; resolves to its result when all of it is kept.
  async function transaction(mode, work) {
    const running = (await database()).transaction("events", mode, {durability: "strict"});
    return new Promise((resolve, reject) => {
      const request = work(running.objectStore("events"));
      running.oncomplete = () => resolve(request && request.result);
      running.onabort = running.onerror = () => reject(running.error);
      running.commit();
    });
  }

  return {
    async all() {
      const found = await transaction("readonly", store => store.index("page").getAll(page));
      return found.map(({event}) => event);
    },
    add(events) {
      return transaction("readwrite", store => {
        for (const event of events) store.add({page, event});
      });
    },
    async remove(ids) {
      const found = await transaction("readonly", store => store.index("page").getAllKeys(page));
      const events = await this.all();
      await transaction("readwrite", store => {
        found.forEach((key, i) => { if (events[i] && ids.has(events[i].id)) store.delete(key); });
      });
    },
  };
}
