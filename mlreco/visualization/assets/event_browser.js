"use strict";
/* Which event is shown: the list, its order, the way to the next one, events in files beside the page; and the theme. */
const mlrecoBrowser = (() => {
  const byId = (id) => document.getElementById(id);
  const index = JSON.parse(byId("event-index").textContent);
  const order = index.rows.map((_, place) => place);
  const received = new Map();
  let shown = 0;

  function receive(number, event) {
    received.set(number, event);
  }

  /* A page from a disk may not fetch files, but it may load scripts. */
  function documentOf(row) {
    const element = byId(`event-${row.number}`);
    if (element) return Promise.resolve(JSON.parse(element.textContent));
    if (received.has(row.number)) return Promise.resolve(received.get(row.number));
    return new Promise((resolve, reject) => {
      const script = document.createElement("script");
      script.src = row.file;
      script.onload = () => resolve(received.get(row.number));
      script.onerror = () => reject(new Error(`${row.file} is missing: keep the folder beside this page`));
      document.head.append(script);
    });
  }

  /* Which place of the list is the current one. */
  function mark(place) {
    shown = place;
    byId("previous").disabled = place === 0;
    byId("next").disabled = place === order.length - 1;
    for (const line of document.querySelectorAll("#events tbody tr")) {
      const current = Number(line.dataset.place) === order[place];
      line.classList.toggle("current", current);
      if (current) line.scrollIntoView({ block: "nearest" });
    }
  }

  async function show(place) {
    mark(place);
    const row = index.rows[order[place]];
    const superseded = () => index.rows[order[shown]] !== row;
    let event;
    try {
      event = await documentOf(row);
    } catch (error) {
      if (superseded()) return;
      byId("title").textContent = `Event ${row.number} of the file`;
      byId("facts").replaceChildren();
      byId("message").textContent = error.message;
      byId("message").hidden = false;
      byId("panels").hidden = true;
      return;
    }
    if (superseded()) return;
    document.title = event.title;
    byId("title").textContent = event.title;
    byId("facts").replaceChildren(...event.facts.map(([name, value]) => {
      const fact = document.createElement("span");
      const bold = document.createElement("b");
      bold.textContent = value;
      fact.append(`${name} `, bold);
      return fact;
    }));
    byId("message").hidden = event.count > 0;
    byId("message").textContent = "This event has no voxels.";
    byId("panels").hidden = event.count === 0;
    const summary = byId("summary");
    if (summary) summary.innerHTML = event.tables;
    fillInstances(event);
    if (event.count) mlrecoDisplay.load(event); else document.body.dataset.drawn = event.number;
  }

  function fillInstances(event) {
    const box = byId("instances");
    const parts = [["instance_predicted", "Predicted instances"], ["instance_true", "True instances"]];
    box.replaceChildren(...parts.filter(([column]) => (event.instances || {})[column]).map(([column, title]) => {
      const section = document.createElement("section");
      const head = document.createElement("h3");
      head.textContent = `${title} (${event.instances[column].length})`;
      const table = document.createElement("table");
      const header = table.createTHead().insertRow();
      for (const text of ["instance", "class", "voxels", "MeV", "most of", "shared"]) {
        const cell = document.createElement("th");
        cell.textContent = text;
        header.append(cell);
      }
      const body = table.createTBody();
      const places = event.instances[column].map((_, place) => place);
      places.sort((a, b) => event.instances[column][b].voxels - event.instances[column][a].voxels);
      for (const place of places) {
        const one = event.instances[column][place];
        const line = body.insertRow();
        line.tabIndex = 0;
        const chip = document.createElement("span");
        chip.className = "chip";
        chip.style.background = one.colour;
        const cells = [one.number, one.class, one.voxels.toLocaleString("en"), one.energy === null ? "–" : one.energy.toFixed(1), one.other === null ? "–" : one.other,
          one.shared ? `${Math.round(100 * one.shared / one.voxels)}%` : "–"];
        cells.forEach((text, i) => { const cell = line.insertCell(); if (i === 0) cell.append(chip); cell.append(String(text)); });
        line.addEventListener("mouseenter", () => mlrecoDisplay.highlight(column, place));
        line.addEventListener("mouseleave", () => mlrecoDisplay.highlight(column, null));
        line.addEventListener("click", () => mlrecoDisplay.isolate(column, place));
      }
      section.append(head, table);
      return section;
    }));
    byId("instances-box").hidden = !box.children.length;
  }

  function fillList() {
    const body = document.querySelector("#events tbody");
    if (!body) return;
    body.replaceChildren(...order.map((place, i) => {
      const row = index.rows[place];
      const line = document.createElement("tr");
      line.dataset.place = place;
      for (const { key, digits } of index.columns) {
        const value = row[key];
        const text = value === null ? "–" : digits === null ? String(value) : Number(value).toFixed(digits);
        line.insertCell().textContent = text;
      }
      line.title = row.failures_text;
      line.addEventListener("click", () => show(i));
      return line;
    }));
  }

  function sortBy(key, head) {
    const down = head.dataset.order === "up";
    document.querySelectorAll("#events th").forEach((one) => delete one.dataset.order);
    head.dataset.order = down ? "down" : "up";
    const current = order[shown];
    const worth = (place) => { const value = index.rows[place][key]; return value === null ? Infinity : value; };
    order.sort((a, b) => (down ? worth(b) - worth(a) : worth(a) - worth(b)) || a - b);
    fillList();
    mark(order.indexOf(current));
  }

  function setTheme(dark) {
    document.documentElement.dataset.theme = dark ? "dark" : "light";
    byId("dark").checked = dark;
  }

  byId("previous").addEventListener("click", () => show(shown - 1));
  byId("next").addEventListener("click", () => show(shown + 1));
  byId("dark").addEventListener("change", (box) => { setTheme(box.target.checked); mlrecoDisplay.restyle(); });
  document.querySelectorAll("#events th").forEach((head) => head.addEventListener("click", () => sortBy(head.dataset.key, head)));
  document.querySelectorAll(".enlarge").forEach((button) => button.addEventListener("click", () => {
    const card = button.closest(".card");
    const large = card.classList.toggle("large");
    button.textContent = large ? "close" : "enlarge";
    document.body.classList.toggle("has-large", large);
    mlrecoDisplay.resize();
  }));
  document.addEventListener("keydown", (press) => {
    if (press.key === "Escape") document.querySelector(".card.large .enlarge")?.click();
    if (press.target.matches("input[type=range]")) return;
    if (press.key === "ArrowLeft" && shown > 0) show(shown - 1);
    if (press.key === "ArrowRight" && shown < order.length - 1) show(shown + 1);
  });

  setTheme(window.matchMedia("(prefers-color-scheme: dark)").matches);
  fillList();
  const asked = index.rows.findIndex((row) => `#${row.number}` === window.location.hash);
  show(Math.max(asked, 0));
  return { receive };
})();
