// SPDX-License-Identifier: Apache-2.0
"use strict";

const form = document.getElementById("ask");

async function showModels() {
  const known = await (await fetch("/models")).json();
  for (const name of known.models) {
    form.elements.model.add(new Option(name, name, false, name === known.default));
  }
  document.getElementById("host").textContent = location.host;
  if (known.pool_page) {
    const pool = document.getElementById("pool");
    pool.querySelector("a").href = known.pool_page;
    pool.hidden = false;
  }
}

function newRow(url, model) {
  const row = document.getElementById("answers").insertRow(0);
  for (const text of [url, model, "…", "", ""]) {
    row.insertCell().textContent = text;
  }
  row.cells[3].className = row.cells[4].className = "number";
  return row;
}

async function ask(event) {
  event.preventDefault();
  const asked = new URLSearchParams(new FormData(form));
  const row = newRow(asked.get("url"), asked.get("model"));
  const begun = performance.now();
  try {
    const answer = await (await fetch(`/classify?${asked}`, { headers: { Accept: "application/json" } })).json();
    row.cells[2].textContent = answer.error ?? answer.label;
    row.cells[2].classList.toggle("error", "error" in answer);
    row.cells[3].textContent = "probability" in answer ? `${Math.round(answer.probability * 100)} %` : "";
  } catch (error) {
    row.cells[2].textContent = `no answer: ${error.message}`;
    row.cells[2].className = "error";
  }
  row.cells[4].textContent = `${((performance.now() - begun) / 1000).toFixed(1)} s`;
}

form.addEventListener("submit", ask);
showModels();
