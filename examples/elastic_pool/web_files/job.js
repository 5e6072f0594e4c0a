// SPDX-License-Identifier: Apache-2.0
// Fills the table as results come. Names and labels are strangers' words: they only ever become text.
"use strict";

const rows = document.getElementById("rows");
const status = document.getElementById("status");
const progress = document.getElementById("progress");
const path = location.pathname;
const shown = new Map(); // Rows by the picture's number.

function cell(words, kind) {
  const found = document.createElement("td");
  found.textContent = words;
  if (kind) found.className = kind;
  return found;
}

function show(result) {
  if (shown.has(result.index)) return; // The web tier was started again, and tells all once more.
  const row = document.createElement("tr");
  const small = document.createElement("img");
  small.loading = "lazy";
  small.alt = "";
  if (!result.error) small.src = `${path}/pictures/${result.index}`;
  row.append(document.createElement("td"));
  row.firstChild.append(small);
  row.append(cell(result.picture, "name"));
  row.append(result.error ? cell(`error: ${result.error}`, "error") : cell(result.label));
  row.append(cell(result.error ? "" : `${Math.round(100 * result.probability)} %`, "number"));
  row.append(cell(`${result.answered_s.toFixed(1)} s`, "number"));
  shown.set(result.index, row);
  const next = Array.from(rows.children).find((other) => Number(other.dataset.index) > result.index);
  row.dataset.index = result.index;
  rows.insertBefore(row, next || null);
}

function tell(found) {
  found.results.forEach(show);
  progress.max = found.pictures;
  progress.value = shown.size;
  status.textContent = `${shown.size} of ${found.pictures} answered`;
  if (found.pool) {
    const pool = document.getElementById("pool");
    pool.href = found.pool;
    pool.hidden = false;
  }
  if (shown.size < found.pictures) return false;
  const file = document.getElementById("file");
  file.href = `${path}/labels.csv`;
  file.hidden = false;
  progress.hidden = true;
  return true;
}

async function follow() {
  let run = "";
  let after = 0;
  for (;;) {
    try {
      const answer = await fetch(`${path}/results?after=${after}&run=${run}`);
      if (!answer.ok) throw new Error((await answer.json()).error);
      const found = await answer.json();
      run = found.run;
      after = found.answered;
      if (tell(found)) return;
    } catch (error) {
      status.textContent = `${shown.size} answered; no news now (${error.message}), asking again`;
      await new Promise((done) => setTimeout(done, 1000));
    }
  }
}

follow();
