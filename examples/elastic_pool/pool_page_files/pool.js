// SPDX-License-Identifier: Apache-2.0
// Draws what the server tells by server-sent events; see pool_page.py.
"use strict";

const MAX_SAMPLES = 3600;
const WIDTH = 600, HEIGHT = 190, LEFT = 46, BOTTOM = 20, TOP = 8;
const samples = [];
let run = null;

function element(name, attributes, text) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

// 1, 2 or 5 times a power of ten, no smaller than the value.
function roundUp(value) {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return power * [1, 2, 5, 10].find((step) => step * power >= value);
}

function path(points, steps) {
  let words = "", before = null;
  for (const [x, y] of points) {
    if (y === null) { before = null; continue; }
    if (before === null) words += `M${x.toFixed(1)} ${y.toFixed(1)}`;
    else words += (steps ? `H${x.toFixed(1)}V${y.toFixed(1)}` : `L${x.toFixed(1)} ${y.toFixed(1)}`);
    before = y;
  }
  return words;
}

function draw(chart) {
  const names = chart.dataset.lines.split(" "), scale = Number(chart.dataset.scale ?? 1);
  const value = (sample, name) => (sample[name] === null ? null : sample[name] * scale);
  const from = samples[0].time_s, to = Math.max(samples.at(-1).time_s, from + 10);
  const most = roundUp(samples.reduce((high, one) => Math.max(high, ...names.map((name) => value(one, name) ?? 0)), 0));
  const x = (time) => LEFT + (time - from) / (to - from) * (WIDTH - LEFT - 6);
  const y = (height) => HEIGHT - BOTTOM - height / most * (HEIGHT - BOTTOM - TOP);
  const parts = [];
  for (const share of [0, 0.5, 1]) {
    const height = y(share * most);
    parts.push(element("line", { x1: LEFT, x2: WIDTH - 6, y1: height, y2: height, class: "grid" }));
    parts.push(element("text", { x: LEFT - 5, y: height + 4, "text-anchor": "end" }, Number((share * most).toPrecision(3))));
  }
  for (const share of [0, 0.5, 1]) {
    const time = from + share * (to - from), anchor = ["start", "middle", "end"][share * 2];
    parts.push(element("text", { x: x(time), y: HEIGHT - 4, "text-anchor": anchor }, `${time.toFixed(0)} s`));
  }
  names.forEach((name, index) => {
    const points = samples.map((one) => [x(one.time_s), value(one, name) === null ? null : y(value(one, name))]);
    parts.push(element("path", { d: path(points, "steps" in chart.dataset), class: `line ${"abc"[index]}`, "data-of": name }));
  });
  chart.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
  chart.replaceChildren(...parts);
}

function show(news) {
  if (news.run !== run) samples.length = 0; // The server has been started anew.
  run = news.run;
  samples.push(...news.samples);
  samples.splice(0, samples.length - MAX_SAMPLES);
  const last = samples.at(-1);
  for (const place of document.querySelectorAll("#now dd")) {
    const { of, digits = 0, scale = 1, before = "" } = place.dataset;
    place.textContent = last[of] === null ? "–" : before + (last[of] * scale).toFixed(digits);
  }
  document.getElementById("policy").textContent = news.policy;
  const state = document.getElementById("state");
  state.textContent = last.trouble || "running";
  state.className = last.trouble ? "bad" : "";
  const deaths = news.deaths.map((words) => {
    const item = document.createElement("li");
    item.textContent = words;
    return item;
  });
  document.getElementById("deaths").replaceChildren(...deaths.reverse());
  document.querySelectorAll("svg[data-lines]").forEach(draw);
}

const source = new EventSource("events");
source.onmessage = (event) => show(JSON.parse(event.data));
source.onerror = () => {
  const state = document.getElementById("state");
  state.textContent = "the server does not answer";
  state.className = "bad";
};
