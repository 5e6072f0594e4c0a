// SPDX-License-Identifier: Apache-2.0
"use strict";

(() => {
  const { specifications, configurations } = JSON.parse(document.getElementById("plots").textContent);
  const narrow = window.matchMedia("(max-width: 40rem)");
  const PRINTED_WIDTH = 680; // Pixels, about what A4 and Letter have between their margins.
  const views = new Map(); // Of the plots that were drawn, by key.

  // ---- Plots. Drawn when they are first seen: what is hidden has no width.

  async function draw(place) {
    const key = place.dataset.plot;
    const result = await window.vegaEmbed(place, specifications[key], {
      config: narrow.matches ? configurations.narrow : configurations.wide,
      renderer: "svg",
      actions: false,
      defaultStyle: false,
      ast: true, // The page's content security policy allows no eval.
      tooltip: { theme: "custom", disableDefaultStyle: true },
    });
    views.get(key)?.finalize();
    views.set(key, result.view);
    await setParameters(key);
  }

  function drawShown(again) {
    const places = [...document.querySelectorAll(".plot")].filter(
      (place) => place.offsetParent !== null && (again || !views.has(place.dataset.plot)),
    );
    return Promise.all(places.map(draw));
  }

  async function setParameters(key) {
    const view = views.get(key);
    const selects = document.querySelectorAll(`select[data-plot="${key}"]`);
    for (const select of selects) view?.signal(select.dataset.parameter, select.value);
    if (selects.length > 0) await view?.runAsync();
  }

  function setWidths(widthOf) {
    for (const [key, view] of views) {
      const place = document.getElementById(`plot-${key}`);
      if (place.offsetParent !== null) view.width(widthOf(place)).run();
    }
  }

  // ---- Which link.

  function showLink(index) {
    for (const section of document.querySelectorAll("section.link")) section.hidden = section.dataset.link !== index;
    const select = document.getElementById("choose-link");
    if (select) select.value = index;
    return drawShown(false);
  }

  function linkOfAddress() {
    const found = /^#link-(\d+)$/.exec(window.location.hash);
    return found && document.getElementById(`link-${found[1]}`) ? found[1] : undefined;
  }

  // ---- Tables.

  function sortKey(row, column) {
    const cell = row.cells[column];
    const value = cell.dataset.sort ?? cell.textContent.trim();
    const number = Number(value);
    return value !== "" && Number.isFinite(number) ? number : value;
  }

  // Numbers before words; what has no value comes last, whichever way.
  function compare(a, b, sign) {
    if (a === "" || b === "") return (a === "" ? 1 : 0) - (b === "" ? 1 : 0);
    if (typeof a === "number" && typeof b === "number") return sign * (a - b);
    if (typeof a !== typeof b) return sign * (typeof a === "number" ? -1 : 1);
    return sign * a.localeCompare(b, "en", { numeric: true });
  }

  function sortBy(header) {
    const ascending = header.getAttribute("aria-sort") !== "ascending";
    for (const other of header.parentElement.cells) other.setAttribute("aria-sort", "none");
    header.setAttribute("aria-sort", ascending ? "ascending" : "descending");
    const body = header.closest("table").tBodies[0];
    const rows = [...body.rows].map((row) => [sortKey(row, header.cellIndex), row]);
    rows.sort(([a], [b]) => compare(a, b, ascending ? 1 : -1));
    body.append(...rows.map(([, row]) => row));
  }

  // ---- Wiring.

  document.documentElement.classList.add("scripted");
  for (const button of document.querySelectorAll("th button")) {
    button.addEventListener("click", () => sortBy(button.closest("th")));
  }
  for (const select of document.querySelectorAll("select[data-plot]")) {
    select.addEventListener("change", () => setParameters(select.dataset.plot));
  }
  document.getElementById("choose-link")?.addEventListener("change", (event) => {
    window.history.replaceState(null, "", `#link-${event.target.value}`);
    showLink(event.target.value);
  });
  window.addEventListener("hashchange", async () => {
    const index = linkOfAddress();
    if (index === undefined) return;
    await showLink(index);
    document.getElementById(`link-${index}`).scrollIntoView();
  });
  window.addEventListener("beforeprint", () => setWidths(() => PRINTED_WIDTH));
  window.addEventListener("afterprint", () => setWidths((place) => place.clientWidth));
  narrow.addEventListener("change", () => drawShown(true));
  showLink(linkOfAddress() ?? "0").then(() => document.documentElement.classList.add("drawn"));
})();
