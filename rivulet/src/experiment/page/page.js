// Asks for the rates each second, and shows them. What others wrote is only ever shown as text.
"use strict";

const PERIOD = 1000; // milliseconds
const PATIENCE = 3000; // milliseconds
const LONGEST = 13; // characters of a name in the chart
const OTHERS = "all others";
const GAP = 2.5; // seconds between two points that belong together

// Each is distinct on its paper, also for the colour-blind. Further lines are dashed.
const LIGHT = ["#0072b2", "#c44e00", "#00805d", "#a8437f", "#6a4fb3", "#8a6d00"];
const DARK = ["#56b4e9", "#ff8c42", "#2ec99b", "#e59bc6", "#b39dff", "#e6c34a"];
const DASHES = ["solid", "dash", "dot", "dashdot"];

const element = (id) => document.getElementById(id);
const rate = new Intl.NumberFormat("en", { minimumFractionDigits: 1, maximumFractionDigits: 1 });
const count = new Intl.NumberFormat("en");
const dark = matchMedia("(prefers-color-scheme: dark)");
const numbers = new Map(); // a line keeps its colour as long as the page is open
const rows = new Map();
let last = null;
let isAsking = false;
let goneSince = null;

function look(name) {
  if (!numbers.has(name)) {
    numbers.set(name, numbers.size);
  }
  const number = numbers.get(name);
  const colours = dark.matches ? DARK : LIGHT;
  const dash = DASHES[Math.floor(number / colours.length) % DASHES.length];
  return { color: colours[number % colours.length], dash, width: 2 };
}

// Those of the experiments, and that of all without a name.
function series(rates) {
  const others = rates.others ? [{ name: null, events: null, rates: rates.others }] : [];
  return [...rates.experiments, ...others];
}

// Plotly reads names as markup: these are none.
function label(name) {
  if (name === null) {
    return OTHERS;
  }
  const letters = [...name];
  const short = letters.length > LONGEST
    ? `${letters.slice(0, 8).join("")}…${letters.slice(-4).join("")}`
    : name;
  return short.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
}

// A line breaks where there is no point for some seconds.
function broken(seconds, values) {
  const x = [];
  const y = [];
  seconds.forEach((second, index) => {
    if (index > 0 && second - seconds[index - 1] > GAP) {
      x.push((second + seconds[index - 1]) / 2);
      y.push(null);
    }
    x.push(second);
    y.push(values[index]);
  });
  return { x, y };
}

function draw() {
  const style = getComputedStyle(document.body);
  const [ink, faint, line, paper] = ["--ink", "--faint", "--line", "--paper"]
    .map((name) => style.getPropertyValue(name));
  const trace = (name, values, lines) => ({
    ...broken(last.seconds, values),
    name,
    type: "scatter",
    mode: last.seconds.length > 1 ? "lines" : "markers",
    line: lines,
    marker: { color: lines.color },
    hovertemplate: "%{y:.1f}",
  });
  const total = trace("total", last.total, { color: ink, dash: "solid", width: 4 });
  const parts = series(last).map(({ name, rates }) => trace(label(name), rates, look(name)));
  const axis = (title) => ({
    title: { text: title },
    gridcolor: line,
    zerolinecolor: line,
    rangemode: "tozero",
    automargin: true,
  });
  Plotly.react(
    element("chart"),
    [total, ...parts],
    {
      uirevision: "kept",
      paper_bgcolor: paper,
      plot_bgcolor: paper,
      font: { color: faint, family: style.fontFamily, size: 13 },
      margin: { t: 8, r: 8, b: 48, l: 56 },
      xaxis: { ...axis("seconds since the start"), rangemode: "normal", hoverformat: ".1f" },
      yaxis: axis("events/s"),
      hovermode: "x unified",
      hoverlabel: { bgcolor: paper },
      showlegend: true,
      legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom" },
    },
    {
      responsive: true,
      displaylogo: false,
      modeBarButtonsToRemove: ["select2d", "lasso2d", "zoomIn2d", "zoomOut2d"],
    },
  );
}

function row(name) {
  if (!rows.has(name)) {
    const head = document.createElement("th");
    head.scope = "row";
    const mark = document.createElement("span");
    mark.textContent = "● ";
    mark.setAttribute("aria-hidden", "true");
    head.append(mark, name ?? OTHERS);
    const cells = [document.createElement("td"), document.createElement("td")];
    const line = document.createElement("tr");
    line.append(head, ...cells);
    rows.set(name, { line, mark, cells });
  }
  return rows.get(name);
}

function tabulate() {
  const shown = series(last);
  for (const { name, events, rates } of shown) {
    const { line, mark, cells } = row(name);
    mark.style.color = look(name).color;
    cells[0].textContent = rate.format(rates.at(-1) ?? 0);
    cells[1].textContent = events === null ? "" : count.format(events);
    if (!line.isConnected) {
      element("experiments").append(line);
    }
  }
  const names = new Set(shown.map(({ name }) => name));
  for (const [name, { line }] of rows) {
    if (!names.has(name)) {
      line.remove();
      rows.delete(name);
    }
  }
  const now = last.total.at(-1);
  element("rate").textContent = now === undefined ? "–" : rate.format(now);
  element("events").textContent = count.format(last.events);
  element("running").textContent = count.format(last.running);
}

function show() {
  if (last !== null) {
    tabulate();
    draw();
  }
}

// Only what has changed is said: a screen reader reads it out.
function say(text) {
  if (element("state").textContent !== text) {
    element("state").textContent = text;
  }
  document.body.classList.toggle("gone", goneSince !== null);
}

async function ask() {
  try {
    const signal = AbortSignal.timeout(PATIENCE);
    const answer = await fetch("rates.json", { cache: "no-store", signal });
    if (!answer.ok) {
      throw new Error(`status ${answer.status}`);
    }
    last = await answer.json();
    goneSince = null;
    say("Live");
  } catch {
    goneSince ??= new Date();
    const time = goneSince.toLocaleTimeString();
    say(`The process has not answered since ${time}. This page asks again every second.`);
    return;
  }
  show();
}

async function tick() {
  if (isAsking) {
    return;
  }
  isAsking = true;
  try {
    await ask();
  } finally {
    isAsking = false;
  }
}

dark.addEventListener("change", show);
// Browsers slow hidden pages down.
document.addEventListener("visibilitychange", tick);
setInterval(tick, PERIOD);
tick();
