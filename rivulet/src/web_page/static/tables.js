// Tables and lists. What others wrote is only ever shown as text.

import { lag, measured, megabytes, number, plain, rate, seconds, shortened, time } from "./text.js";

export const element = (id) => document.getElementById(id);
const LETTERS = 20; // dead letters in the list

export function make(tag, text = "", name = "") {
  const made = document.createElement(tag);
  made.textContent = text;
  made.className = name;
  return made;
}

// Only what has changed is written, so that what is selected or read out stays so.
export function write(where, text) {
  if (where.textContent !== text) {
    where.textContent = text;
  }
}

// Fills the body of a table. A row keeps its element as long as it is there. The first cell is a
// heading. A cell is a text, or a text with a class and what is done when it is chosen.
export function fill(body, rows) {
  const known = new Map([...body.rows].map((row) => [row.key, row]));
  rows.forEach(({ key, cells, name = "" }, index) => {
    let row = known.get(key);
    if (row === undefined || row.cells.length !== cells.length) {
      row?.remove();
      row = document.createElement("tr");
      row.key = key;
      cells.forEach((cell, at) => row.append(newCell(cell, at)));
    }
    known.delete(key);
    row.className = name;
    cells.forEach((cell, at) => {
      const { text, name: of = "" } = typeof cell === "string" ? { text: cell } : cell;
      const where = row.cells[at];
      write(where.querySelector("button") ?? where, text);
      where.className = of;
    });
    if (body.rows[index] !== row) {
      body.insertBefore(row, body.rows[index] ?? null);
    }
  });
  known.forEach((row) => row.remove());
}

function newCell(cell, at) {
  const made = document.createElement(at === 0 ? "th" : "td");
  if (at === 0) {
    made.scope = "row";
  }
  if (cell.choose) {
    const button = make("button", cell.text, "link");
    button.type = "button";
    button.addEventListener("click", cell.choose);
    made.append(button);
  }
  return made;
}

export const stateClass = (state) => `state ${(state ?? "unknown").replace(" ", "-")}`;
const body = (id) => element(id).querySelector("tbody");

export function showStages(graph, stages, chosen, choose) {
  const rows = graph.map(({ stage }) => {
    const now = stages.get(stage) ?? {};
    const [count, direction] = lag(now.lag);
    const memory = megabytes(now.memory ?? null);
    const is = now.state ?? "unknown";
    const cells = [
      { text: stage, choose: () => choose(stage) },
      { text: plain((now.nodes ?? []).join(", ")) || "–", name: "text" },
      { text: is, name: `text ${stateClass(is)}` },
      rate(now.rate_in, now.is_estimate),
      rate(now.rate_out, now.is_estimate),
      count,
      { text: direction, name: "text" },
      seconds(now.p50),
      seconds(now.p99),
      rate(now.commits),
      now.shares_process && memory !== "–" ? `${memory} shared` : memory,
    ];
    return { key: stage, cells, name: stage === chosen ? "chosen" : "" };
  });
  fill(body("stages"), rows);
}

export function showDetails(about, now = {}, dead) {
  element("details").hidden = about === undefined;
  if (about === undefined) {
    return;
  }
  write(element("chosen"), about.stage);
  write(element("does"), `${about.kind}: ${about.does}`);
  write(element("sentence"), plain(now.sentence ?? "") || "Nothing is known of it yet.");
  const [count, direction] = lag(now.lag);
  const facts = [
    ["State", now.state ?? "unknown"],
    ["Nodes", plain((now.nodes ?? []).join(", ")) || "–"],
    ["In", rate(now.rate_in, now.is_estimate)],
    ["Out", rate(now.rate_out, now.is_estimate)],
    ["Lag", `${count} ${direction}`.trim()],
    ["Latency, median", seconds(now.p50)],
    ["Latency, p99", seconds(now.p99)],
    ["Commits", rate(now.commits)],
    [now.shares_process ? "Memory, shared" : "Memory", megabytes(now.memory ?? null)],
  ];
  const list = element("facts");
  if (list.children.length !== facts.length) {
    list.replaceChildren(...facts.map(() => {
      const pair = make("div");
      pair.append(make("dt"), make("dd"));
      return pair;
    }));
  }
  facts.forEach(([name, text], index) => {
    write(list.children[index].children[0], name);
    write(list.children[index].children[1], text);
  });
  const partitions = now.partitions ?? [];
  element("lag").hidden = partitions.length === 0;
  fill(element("lag").querySelector("tbody"), partitions.map(([topic, partition, report]) => {
    const [records, goes] = lag(report);
    const cells = [`${topic} [${partition}]`, records, { text: goes, name: "text" }];
    return { key: `${topic} ${partition}`, cells };
  }));
  const reasons = Object.entries(dead?.by_reason ?? {});
  element("letters").hidden = reasons.length === 0;
  const lines = reasons.map(([reason, of]) => `${number(of)} × ${plain(reason)}`);
  const last = (dead?.last ?? []).slice(0, 3);
  lines.push(...last.map(({ origin, error }) => `${plain(origin)}: ${plain(error)}`));
  const items = element("letters").querySelector("ul");
  if (items.textContent !== lines.join("")) {
    items.replaceChildren(...lines.map((line) => make("li", line)));
  }
}

export function showDead(dead) {
  const stages = [...dead].filter(([, of]) => of !== null);
  const reasons = stages.flatMap(([stage, of]) =>
    Object.entries(of.by_reason).map(([reason, count]) => ({
      key: `${stage} ${reason}`,
      cells: [stage, { text: plain(reason), name: "text" }, number(count)],
    })));
  const last = stages.flatMap(([stage, of]) => of.last.map((letter) => ({ stage, ...letter })));
  last.sort((one, other) => other.time - one.time);
  element("dead").hidden = reasons.length === 0;
  element("no-dead").hidden = reasons.length > 0;
  fill(body("reasons"), reasons);
  fill(body("last-dead"), last.slice(0, LETTERS).map((letter) => ({
    key: `${letter.stage} ${letter.origin}`,
    cells: [
      plain(letter.origin),
      { text: plain(letter.error), name: "text wide" },
      { text: letter.value === null ? "–" : plain(letter.value), name: "text wide" },
      time(letter.time),
    ],
  })));
}

export function showValues(topics, sensors) {
  const rows = sensors.flatMap(({ name, lines }) => topics.map(({ topic, name: series }, index) => {
    const { unit, count = 0, last } = lines[index] ?? {};
    const cells = [
      shortened(plain(name), 60),
      { text: series ?? topic, name: "text" },
      last ? measured(last[1], unit) : "–",
      last ? time(last[0]) : "–",
      number(count),
    ];
    return { key: `${index} ${name}`, cells };
  }));
  fill(body("values"), rows);
}

// The chosen sensors come first. Of them the figures are those of this second.
export function showComparison(table, sensors, count) {
  const chosen = sensors.filter(({ figures }) => figures);
  const names = new Set(chosen.map(({ name }) => name));
  const others = (table?.rows ?? []).filter(([name]) => !names.has(name));
  const row = (name, figures, of) => {
    const { joined, unit, mean, rms, lag: steps, smoothness } = figures;
    const cells = [
      shortened(plain(name), 60),
      number(joined),
      measured(mean[0], unit, 3),
      ...rms.map((apart) => measured(apart, unit, 3)),
      ...steps.map((lags) => number(lags)),
      ...smoothness.map((smooth) => number(smooth, 3)),
    ];
    return { key: name, cells, name: of };
  };
  fill(body("compared"), [
    ...chosen.map(({ name, figures }) => row(name, figures, "chosen")),
    ...others.map(([name, figures]) => row(name, figures, "")),
  ]);
  const { page = 0, pages = 1 } = table ?? {};
  element("pager").hidden = pages < 2;
  element("back").disabled = page === 0;
  element("on").disabled = page + 1 >= pages;
  const text = `page ${number(page + 1)} of ${number(pages)}, ${number(count)} sensors`;
  write(element("shown-page"), text);
}
