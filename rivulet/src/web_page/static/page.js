// What the page shows, and what somebody wants to see.

import { Chart } from "./chart.js";
import { Graph } from "./graph.js";
import { Picker } from "./picker.js";
import { Stream, changed } from "./stream.js";
import {
  element, make, showComparison, showDead, showDetails, showStages, showValues, write,
} from "./tables.js";
import { number, plain, shortened } from "./text.js";

const MOST = 4; // sensors at once
const dark = matchMedia("(prefers-color-scheme: dark)");

// What is known.
const known = { about: null, graph: [], status: null, sensors: [], table: null };
const stages = new Map();
const dead = new Map();
let charts = [];

// What somebody wants to see. The address keeps it.
const asked = new URLSearchParams(location.search);
const wanted = {
  sensors: asked.getAll("sensor").slice(0, MOST),
  latest: asked.get("latest") ?? "1",
  zoom: null,
  page: 0,
  stage: null,
};

const graph = new Graph(element("graph"), chooseStage);
const chart = new Chart(element("chart"), zoomTo);
const picker = new Picker(element("search"), element("found"), addSensor);
const stream = new Stream(begin, take, say);

// Finer steps than pixels would be sent for nothing.
function columns() {
  const width = element("chart").parentElement.clientWidth;
  return [200, 400].find((count) => width <= 2 * count) ?? 800;
}

function ask() {
  const query = new URLSearchParams(wanted.sensors.map((sensor) => ["sensor", sensor]));
  const kept = new URLSearchParams(query);
  if (wanted.zoom) {
    query.set("from", wanted.zoom[0]);
    query.set("to", wanted.zoom[1]);
  } else if (wanted.latest !== "1") {
    query.set("latest", wanted.latest);
    kept.set("latest", wanted.latest);
  }
  history.replaceState(null, "", `?${kept}`);
  query.set("columns", columns());
  query.set("page", wanted.page);
  showChips();
  stream.open(query.toString());
}

// Everything comes again now.
function begin() {
  stages.clear();
  dead.clear();
  charts = wanted.sensors.map((name) => ({ name, lines: [], figures: null }));
}

function take(event) {
  for (const [name, part] of event.parts) {
    if (name.startsWith("stage/")) {
      stages.set(name.slice("stage/".length), part ?? {});
    } else if (name.startsWith("dead/")) {
      dead.set(name.slice("dead/".length), part);
    } else {
      known[name] = part;
    }
    if (name === "graph") {
      graph.show(part);
    }
  }
  event.charts.forEach((change, index) => {
    const of = charts[index];
    of.lines = change.lines.map(({ points, said }, line) => {
      const before = of.lines[line] ?? { points: [] };
      const [unit, count, last] = said ?? [before.unit, before.count, before.last];
      return { points: points ? changed(before.points, points) : before.points, unit, count, last };
    });
    of.figures = change.figures === undefined ? of.figures : change.figures;
  });
  known.table = event.table ?? known.table;
  picker.offer(known.sensors.filter((name) => !wanted.sensors.includes(name)));
  if (wanted.sensors.length === 0 && known.sensors.length > 0) {
    addSensor(known.sensors[0]);
  }
  const reader = known.graph.find(({ kind }) => kind === "operator") ?? known.graph[0];
  wanted.stage ??= reader?.stage ?? null;
  show();
}

function show() {
  // Browsers draw hidden pages for nobody.
  if (document.hidden || known.about === null) {
    return;
  }
  const { about, status } = known;
  document.title = `${plain(about.title)} – rivulet`;
  write(element("file"), plain(about.title));
  element("stages-card").hidden = !about.stages;
  element("dead-card").hidden = !about.stages;
  write(element("brokers"), plain(about.brokers));
  showNotes(status);
  showStage();
  showReadings();
  element("comparison").hidden = !about.compares;
  if (about.compares) {
    showComparison(known.table, charts, known.sensors.length);
    const left = status.not_compared ?? "";
    write(element("not-compared"), left.charAt(0).toUpperCase() + left.slice(1));
  }
  showDead(dead);
}

function showStage() {
  graph.update(stages, wanted.stage);
  showStages(known.graph, stages, wanted.stage, chooseStage);
  const of = known.graph.find(({ stage }) => stage === wanted.stage);
  showDetails(of, stages.get(wanted.stage), dead.get(wanted.stage));
}

function showNotes(status) {
  const notes = [status.error, status.reading_error, ...status.notes];
  if (status.invalid > 0) {
    notes.push(`${number(status.invalid)} records were no readings.`);
  }
  if (status.left_out > 0) {
    notes.push(`${number(status.left_out)} readings are left out: there are too many sensors.`);
  }
  const texts = notes.filter((note) => note).map(plain);
  const list = element("notes");
  list.hidden = texts.length === 0;
  if (list.textContent !== texts.join("")) {
    list.replaceChildren(...texts.map((text) => make("li", text)));
  }
}

function showReadings() {
  const { topics } = known.about;
  const lacking = topics.filter((topic, index) =>
    charts.length === 0 || charts.some(({ lines }) => !lines[index]?.count));
  const names = lacking.map(({ topic }) => plain(topic));
  element("waiting").hidden = names.length === 0;
  write(element("waiting"), `Waiting for readings on ${names.join(", ")} …`);
  const hasPoints = charts.some(({ lines }) => lines.some(({ points }) => points.length > 0));
  if (hasPoints || wanted.zoom) {
    chart.draw(topics, charts, wanted.zoom);
  } else {
    element("chart").hidden = true;
  }
  element("save").disabled = !hasPoints;
  showValues(topics, charts);
  showChips();
}

function showChips() {
  const list = element("chips");
  const shown = [...list.children].map((chip) => chip.name);
  if (JSON.stringify(shown) !== JSON.stringify(wanted.sensors)) {
    list.replaceChildren(...wanted.sensors.map((sensor) => {
      const chip = make("li");
      const text = shortened(plain(sensor), 40);
      const button = make("button", "×");
      button.type = "button";
      button.setAttribute("aria-label", `Do not show ${text}`);
      button.addEventListener("click", () => removeSensor(sensor));
      chip.append(make("span", text), button);
      chip.name = sensor;
      return chip;
    }));
  }
  list.hidden = wanted.sensors.length === 0;
  element("search").disabled = wanted.sensors.length >= MOST;
  const hint = wanted.sensors.length < MOST ? "Add a sensor" : `At most ${MOST} sensors`;
  element("search").placeholder = hint;
  const range = element("range");
  range.querySelector("[value=zoom]").hidden = !wanted.zoom;
  range.value = wanted.zoom ? "zoom" : wanted.latest;
  element("whole").hidden = !wanted.zoom;
}

function addSensor(name) {
  if (wanted.sensors.length < MOST && !wanted.sensors.includes(name)) {
    wanted.sensors.push(name);
    ask();
  }
}

function removeSensor(name) {
  wanted.sensors = wanted.sensors.filter((other) => other !== name);
  ask();
  element("search").focus();
}

function zoomTo(times) {
  wanted.zoom = times;
  ask();
}

function chooseStage(stage) {
  wanted.stage = stage;
  showStage();
}

// Only what has changed is said: a screen reader reads it out.
function say(text, gone) {
  write(element("state"), text);
  document.body.classList.toggle("live", gone === null);
  document.body.classList.toggle("gone", gone !== null);
}

element("range").addEventListener("change", (event) => {
  wanted.latest = event.target.value;
  zoomTo(null);
});
element("whole").addEventListener("click", () => zoomTo(null));
element("save").addEventListener("click", () => chart.save("rivulet-readings"));
for (const [id, step] of [["back", -1], ["on", 1]]) {
  element(id).addEventListener("click", () => {
    wanted.page = Math.max(0, (known.table?.page ?? 0) + step);
    ask();
  });
}
dark.addEventListener("change", show);
document.addEventListener("visibilitychange", show);
ask();
