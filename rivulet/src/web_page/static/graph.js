// The stages as boxes, and the topics as arrows between them.

import { plain, rate, shortened } from "./text.js";

const SVG = "http://www.w3.org/2000/svg";
const BOX = { width: 144, height: 62 };
const PASSING = 16; // pixels across for an arrow that passes a layer
const BESIDE = { wide: 24, narrow: 12 }; // pixels between two boxes of a layer
const BETWEEN = { wide: 112, narrow: 74 }; // pixels between two layers
const NARROWEST = 104; // pixels of a box
const SMALLEST = 0.85; // how small the picture may be drawn from left to right
const LINE = 15; // letters in a line of a topic's name

function draw(tag, attributes, text) {
  const drawn = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) {
    drawn.setAttribute(name, value);
  }
  if (text !== undefined) {
    drawn.textContent = text;
  }
  return drawn;
}

// The stages in layers: each after those that write what it reads. An arrow that passes a layer
// has a place in it, so that it crosses no box.
function layered(graph) {
  const depth = new Map(graph.map(({ stage }) => [stage, 0]));
  const writers = (topic) => graph.filter(({ to }) => to.includes(topic));
  // The stages come in the order of the data flow.
  for (const { stage, from } of graph) {
    const before = from.flatMap(writers).map((writer) => depth.get(writer.stage) + 1);
    depth.set(stage, Math.max(0, ...before));
  }
  const layers = Array.from({ length: Math.max(0, ...depth.values()) + 1 }, () => []);
  const places = new Map();
  for (const { stage } of graph) {
    const place = { stage, layer: depth.get(stage), before: [] };
    places.set(stage, place);
    layers[place.layer].push(place);
  }
  const arrows = [];
  for (const writer of graph) {
    for (const topic of writer.to) {
      const readers = graph.filter(({ from }) => from.includes(topic));
      const passed = [places.get(writer.stage)];
      const farthest = Math.max(...readers.map(({ stage }) => depth.get(stage)), 0);
      for (let layer = passed[0].layer + 1; layer < farthest; layer += 1) {
        const place = { stage: null, layer, before: [passed.at(-1)] };
        layers[layer].push(place);
        passed.push(place);
      }
      for (const { stage } of readers) {
        const reader = places.get(stage);
        const path = passed.slice(0, reader.layer - passed[0].layer);
        reader.before.push(path.at(-1));
        arrows.push({ topic, path: [...path, reader] });
      }
      if (readers.length === 0) {
        arrows.push({ topic, path: [passed[0]] });
      }
    }
  }
  return { layers, arrows };
}

// Each place is near those before it.
function order(layers) {
  layers.forEach((layer, number) => {
    layer.forEach((place, index) => {
      const before = place.before.map((other) => other.index);
      const sum = before.reduce((all, one) => all + one, 0);
      place.wish = number > 0 && before.length > 0 ? sum / before.length : index;
    });
    layer.sort((one, other) => one.wish - other.wish);
    layer.forEach((place, index) => {
      place.index = index - (layer.length - 1) / 2;
    });
  });
}

// Where the boxes are. If they do not fit from left to right, the layers are one below the other.
function placed(layers, room) {
  const long = layers.length * (BOX.width + BETWEEN.wide) - BETWEEN.wide;
  const isWide = long * SMALLEST <= room;
  const [gap, between] = isWide ? [BESIDE.wide, BETWEEN.wide] : [BESIDE.narrow, BETWEEN.narrow];
  const boxes = (layer) => layer.filter(({ stage }) => stage !== null).length;
  const others = (layer) => (layer.length - boxes(layer)) * PASSING + (layer.length - 1) * gap;
  const fits = layers.map((layer) => (room - others(layer)) / Math.max(1, boxes(layer)));
  const widths = fits.map((fit) =>
    (isWide ? BOX.width : Math.max(NARROWEST, Math.min(BOX.width, fit))));
  const deep = isWide ? BOX.width : BOX.height;
  const broad = (number) => (isWide ? BOX.height : widths[number]);
  const breadth = (layer, number) => boxes(layer) * broad(number) + others(layer);
  const broadest = Math.max(...layers.map(breadth));
  for (const [number, layer] of layers.entries()) {
    let beside = (broadest - breadth(layer, number)) / 2;
    for (const place of layer) {
      const size = place.stage === null ? PASSING : broad(number);
      const begin = number * (deep + between);
      // Where an arrow comes in, and where one goes out.
      const middle = beside + size / 2;
      const [inward, outward] = [[begin, middle], [begin + deep, middle]];
      Object.assign(place, { in: inward, out: outward, beside, width: widths[number] });
      place.x = isWide ? begin : beside;
      place.y = isWide ? beside : begin;
      beside += size + gap;
    }
  }
  const length = layers.length * (deep + between) - between;
  const [across, down] = isWide ? [length, broadest] : [broadest, length];
  return { isWide, width: across, height: down };
}

// The way of an arrow: straight first, where its name is, then to its reader.
function way(path, isWide) {
  const point = (along, beside) => (isWide ? `${along},${beside}` : `${beside},${along}`);
  const [bend, soft] = isWide ? [34, 20] : [28, 16];
  let [along, beside] = path[0].out;
  let d = `M${point(along, beside)}`;
  for (const place of path.slice(1)) {
    const [end, to] = place.in;
    const tip = place.stage === null ? end : end - 3;
    const curve = [[end - bend + soft, beside], [end - soft, to], [tip, to]];
    d += `L${point(end - bend, beside)}C${curve.map(([x, y]) => point(x, y)).join(" ")}`;
    [along, beside] = place.out;
    d += place.stage === null ? `L${point(along, beside)}` : "";
  }
  return d;
}

// A name on two lines, broken where its words are.
function lines(topic) {
  const words = topic.match(/[^_.-]*[_.-]?/g).filter((word) => word);
  let first = "";
  while (words.length > 0 && (first + words[0]).length <= LINE) {
    first += words.shift();
  }
  const rest = words.join("");
  return (first ? [first, rest] : [rest]).filter((line) => line)
    .map((line) => shortened(line, LINE + 2));
}

function name({ topic, path }, isWide) {
  const [first] = path;
  const text = lines(plain(topic));
  const [along, beside] = first.out;
  const x = isWide ? along + 8 : beside;
  const y = isWide ? beside - 7 - (text.length - 1) * 13 : along + 24 - (text.length - 1) * 6;
  const drawn = draw("text", { class: isWide ? "topic" : "topic middle", x, y });
  drawn.append(draw("title", {}, plain(topic)));
  text.forEach((line, index) => {
    drawn.append(draw("tspan", { x, dy: index === 0 ? 0 : 13 }, line));
  });
  return drawn;
}

export class Graph {
  constructor(where, choose) {
    Object.assign(this, { where, choose, graph: [], boxes: new Map(), room: 0 });
    new ResizeObserver(() => {
      if (where.clientWidth !== this.room) {
        this.show(this.graph);
        this.update(this.stages ?? new Map(), this.chosen);
      }
    }).observe(where);
  }

  show(graph) {
    this.graph = graph;
    this.boxes.clear();
    this.room = this.where.clientWidth;
    if (graph.length === 0) {
      this.where.replaceChildren();
      return;
    }
    const { layers, arrows } = layered(graph);
    order(layers);
    const { isWide, width, height } = placed(layers, this.room - 10);
    const box = `-4 -4 ${width + 8} ${height + 8}`;
    const size = Math.min(1, this.room / (width + 8));
    const shown = { width: (width + 8) * size, height: (height + 8) * size };
    const svg = draw("svg", { viewBox: box, ...shown });
    const tip = { id: "tip", viewBox: "0 0 8 8", refX: 6, refY: 4, markerWidth: 7 };
    const marker = draw("marker", { ...tip, markerHeight: 7, orient: "auto", class: "tip" });
    marker.append(draw("path", { d: "M0,0L8,4L0,8Z" }));
    svg.append(marker);
    for (const { path } of arrows.filter((arrow) => arrow.path.length > 1)) {
      const d = way(path, isWide);
      svg.append(draw("path", { class: "arrow", d, "marker-end": "url(#tip)" }));
    }
    const named = new Set();
    for (const arrow of arrows) {
      const key = JSON.stringify([arrow.path[0].stage, arrow.topic]);
      if (arrow.path.length > 1 && !named.has(key)) {
        named.add(key);
        svg.append(name(arrow, isWide));
      }
    }
    for (const place of layers.flat().filter(({ stage }) => stage !== null)) {
      svg.append(this.box(place));
    }
    this.where.replaceChildren(svg);
    for (const [stage, { title, longest }] of this.boxes) {
      const letters = [...plain(stage)];
      while (letters.length > 1 && title.getComputedTextLength() > longest) {
        letters.pop();
        title.textContent = `${letters.join("")}…`;
      }
    }
  }

  box({ stage, x, y, width }) {
    const attributes = { class: "stage", tabindex: 0, role: "button" };
    const box = draw("g", { ...attributes, transform: `translate(${x} ${y})` });
    const edge = width < BOX.width ? 8 : 12;
    const parts = {
      box,
      // A narrow box has room for the state. The rate is in the table.
      hasRate: width >= BOX.width,
      longest: width - 2 * edge,
      title: draw("text", { class: "name", x: edge, y: 24 }, plain(stage)),
      dot: draw("circle", { class: "dot", cx: edge + 4, cy: 42, r: 4 }),
      state: draw("text", { class: "small", x: edge + 14, y: 46 }),
      rate: draw("text", { class: "small end", x: width - edge, y: 46 }),
    };
    box.append(
      draw("rect", { width, height: BOX.height, rx: 10 }),
      parts.title,
      parts.dot,
      parts.state,
      parts.rate,
    );
    box.addEventListener("click", () => this.choose(stage));
    box.addEventListener("keydown", (event) => {
      if (event.key === "Enter" || event.key === " ") {
        event.preventDefault();
        this.choose(stage);
      }
    });
    this.boxes.set(stage, parts);
    return box;
  }

  update(stages, chosen) {
    Object.assign(this, { stages, chosen });
    for (const [stage, { box, dot, state, rate: out, hasRate }] of this.boxes) {
      const now = stages.get(stage) ?? {};
      const of = this.graph.find((other) => other.stage === stage);
      const number = of.to.length > 0 ? now.rate_out : now.rate_in;
      const flow = number === null || number === undefined ? "" : rate(number);
      const is = now.state ?? "unknown";
      dot.setAttribute("class", `dot ${is.replace(" ", "-")}`);
      state.textContent = is;
      state.setAttribute("class", `small ${is.replace(" ", "-")}`);
      out.textContent = hasRate ? flow : "";
      box.setAttribute("aria-label", [stage, is, flow].filter((text) => text).join(", "));
      box.setAttribute("aria-pressed", String(stage === chosen));
    }
  }
}
