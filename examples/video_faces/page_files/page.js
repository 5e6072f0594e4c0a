// SPDX-License-Identifier: Apache-2.0
// Asks for news twice a second, and draws the latest frame with a box around each face.
"use strict";

const POLL_MS = 500;
const byId = (id) => document.getElementById(id);
let drawn = -1;

function cell(text, kind) {
  const made = document.createElement("td");
  made.textContent = text;
  if (kind) made.className = kind;
  return made;
}

function rowOf(frame, face) {
  const row = document.createElement("tr");
  row.append(cell(frame.number));
  row.append(cell(face ? face.name : frame.error || "nobody", face ? (face.known ? "known" : "other") : "other"));
  row.append(cell(face && face.distance !== null ? face.distance.toFixed(2) : ""));
  row.append(cell(face ? face.record : ""));
  row.append(cell(`${(frame.latency_s * 1000).toFixed(0)} ms${frame.late ? " late" : ""}`, frame.late ? "late" : ""));
  return row;
}

async function draw(frame) {
  const answer = await fetch(`frame/${frame.number}.jpg`);
  if (!answer.ok) return; // It is gone: newer ones are there.
  const picture = await createImageBitmap(await answer.blob());
  const canvas = byId("frame");
  canvas.width = 640;
  canvas.height = Math.round((640 * picture.height) / picture.width);
  const scale = canvas.width / picture.width;
  const pen = canvas.getContext("2d");
  pen.drawImage(picture, 0, 0, canvas.width, canvas.height);
  pen.font = "600 18px system-ui, sans-serif";
  pen.lineWidth = 3;
  for (const face of frame.faces) {
    const [left, top, right, bottom] = face.box.map((side) => side * scale);
    pen.strokeStyle = pen.fillStyle = face.known ? "#3ddc97" : "#ffb066";
    pen.strokeRect(left, top, right - left, bottom - top);
    const width = pen.measureText(face.name).width + 10;
    const y = Math.max(0, top - 24);
    pen.fillRect(left, y, width, 24);
    pen.fillStyle = "#000";
    pen.fillText(face.name, left + 5, y + 18);
  }
  canvas.dataset.frame = frame.number;
}

async function refresh() {
  const answer = await fetch("state");
  if (!answer.ok) throw new Error(`the server says ${answer.status}`);
  const state = await answer.json();
  byId("where").textContent = state.where;
  for (const name of ["seen", "late", "failed"]) byId(name).textContent = state[name];
  byId("mean").textContent = state.mean_latency_s === null ? "–" : `${(state.mean_latency_s * 1000).toFixed(0)} ms`;
  const rows = state.frames.flatMap((frame) => (frame.faces.length ? frame.faces.map((face) => rowOf(frame, face)) : [rowOf(frame)]));
  byId("rows").replaceChildren(...rows);
  const latest = state.frames[0];
  if (latest && latest.number !== drawn) {
    drawn = latest.number;
    await draw(latest);
  }
}

async function goOn() {
  try {
    await refresh();
    byId("trouble").textContent = "";
  } catch (error) {
    byId("trouble").textContent = `No news: ${error.message}`;
  }
  setTimeout(goOn, POLL_MS);
}

goOn();
