// The chart: input, EWMA and moving average of each chosen sensor, one below the other.

import { label } from "./text.js";

const HEIGHT = 300; // pixels of one sensor alone
const LOWER = 210; // pixels of one of several
const AROUND = 116; // pixels for the axis of times and the legend
const FEW = 80; // points that can be told from each other

const dark = matchMedia("(prefers-color-scheme: dark)");

// The width of the lines. The input stays in the background.
const WIDTHS = { input: 1.25, ewma: 1.5, average: 2.25 };
// What is drawn above what: the input in the background, the thinner of the averages at the top.
const LAYERS = { input: 0, average: 1, ewma: 2 };

function colour(style, side, index) {
  return style.getPropertyValue(side ? `--${side}` : `--other-${index}`).trim();
}

// A gap is a point without a value.
function axes(points) {
  const x = [];
  const y = [];
  for (const point of points) {
    x.push(point === null ? (x.at(-1) ?? null) : point[0]);
    y.push(point === null ? null : point[1]);
  }
  return { x, y };
}

// The unit that all lines have which have one.
function commonUnit(lines) {
  const units = new Set(lines.map(({ unit }) => unit).filter((unit) => unit));
  return units.size === 1 ? [...units][0] : null;
}

// With several units each name has its own.
function ownUnit(lines, index) {
  const unit = lines[index]?.unit;
  return unit && commonUnit(lines) === null ? ` ${label(unit)}` : "";
}

export class Chart {
  // `zoom` is called with the times that somebody wants to see, or with null for all.
  constructor(where, zoom) {
    Object.assign(this, { where, zoom, isListening: false, drawn: [] });
  }

  // Whether what is drawn is that already: whoever reads a value is not disturbed.
  isDrawn(sensors, zoomed) {
    const lines = sensors.flatMap((of) => [of.name, ...of.lines.map(({ points }) => points)]);
    const now = [...lines, JSON.stringify(zoomed), dark.matches];
    const isSame = now.length === this.drawn.length && now.every((of, at) => of === this.drawn[at]);
    this.drawn = now;
    return isSame && !this.where.hidden;
  }

  draw(topics, sensors, zoomed) {
    if (this.isDrawn(sensors, zoomed)) {
      return;
    }
    const style = getComputedStyle(document.body);
    const css = (name) => style.getPropertyValue(name).trim();
    const count = sensors.length;
    const [ink, faint, line, paper] = ["--ink", "--faint", "--line", "--paper"].map(css);
    const traces = sensors.flatMap(({ lines }, row) => topics.map((topic, index) => {
      const points = lines[index]?.points ?? [];
      const hue = colour(style, topic.side, index);
      return {
        ...axes(points),
        name: label(topic.name ?? topic.topic) + ownUnit(lines, index),
        type: "scatter",
        mode: points.length < FEW ? "lines+markers" : "lines",
        line: { color: hue, width: WIDTHS[topic.side] ?? 2 },
        marker: { color: hue, size: 5 },
        yaxis: row === 0 ? "y" : `y${row + 1}`,
        legendgroup: String(index),
        legendrank: index,
        layer: LAYERS[topic.side] ?? index,
        showlegend: row === 0,
        hovertemplate: "%{y:.4~g}",
      };
    }));
    traces.sort((one, other) => one.layer - other.layer);
    const height = (count === 1 ? HEIGHT : LOWER * count) + AROUND;
    const gap = count > 1 ? 34 / (LOWER * count) : 0;
    const layout = {
      autosize: true,
      uirevision: JSON.stringify([sensors.map(({ name }) => name), zoomed]),
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { color: faint, family: style.fontFamily, size: 12 },
      margin: { t: 52, r: 8, b: 64, l: 56 },
      dragmode: "zoom",
      hovermode: "x unified",
      hoversubplots: "axis",
      hoverlabel: { bgcolor: paper, bordercolor: line, font: { color: ink } },
      showlegend: true,
      legend: { orientation: "h", x: 1, xanchor: "right", y: 1, yanchor: "bottom" },
      annotations: [],
      xaxis: {
        type: "date",
        title: { text: "event time (UTC)", standoff: 10 },
        anchor: count > 1 ? `y${count}` : "y",
        gridcolor: line,
        showspikes: true,
        spikemode: "across",
        spikethickness: 1,
        spikedash: "solid",
        spikecolor: faint,
        hoverformat: "%Y-%m-%d %H:%M:%S.%L",
        ...(zoomed ? { range: zoomed, autorange: false } : { autorange: true }),
      },
    };
    sensors.forEach(({ name, lines }, row) => {
      const unit = commonUnit(lines);
      const top = 1 - row / count - (row > 0 ? gap : 0);
      layout[row === 0 ? "yaxis" : `yaxis${row + 1}`] = {
        title: { text: label(unit ?? "value"), standoff: 8 },
        domain: [Math.max(0, 1 - (row + 1) / count), top],
        gridcolor: line,
        zeroline: false,
        fixedrange: true,
        automargin: true,
        nticks: count > 1 ? 5 : 8,
      };
      layout.annotations.push({
        text: label(name, 24),
        showarrow: false,
        font: { color: ink, size: 13, weight: 600 },
        xref: "paper",
        x: 0,
        xanchor: "left",
        yref: "paper",
        y: top,
        yanchor: "bottom",
        yshift: 4,
      });
    });
    this.where.hidden = false;
    this.where.style.height = `${height}px`;
    Plotly.react(this.where, traces, layout, {
      responsive: true,
      displayModeBar: false,
      doubleClick: false,
    });
    this.listen();
  }

  listen() {
    if (this.isListening) {
      return;
    }
    this.isListening = true;
    this.where.on("plotly_relayout", (change) => {
      const from = change["xaxis.range[0]"] ?? change["xaxis.range"]?.[0];
      const to = change["xaxis.range[1]"] ?? change["xaxis.range"]?.[1];
      if (from !== undefined && to !== undefined) {
        // Plotly writes times as text in UTC, or leaves numbers as they are.
        this.zoom([from, to].map((time) => {
          const isText = typeof time === "string";
          return Math.round(isText ? Date.parse(`${time.replace(" ", "T")}Z`) : time);
        }));
      }
    });
    this.where.on("plotly_doubleclick", () => this.zoom(null));
  }

  save(name) {
    const style = getComputedStyle(document.body);
    const size = { width: this.where.clientWidth, height: this.where.clientHeight, scale: 2 };
    const figure = {
      data: this.where.data,
      layout: { ...this.where.layout, paper_bgcolor: style.getPropertyValue("--paper").trim() },
    };
    return Plotly.downloadImage(figure, { format: "png", filename: name, ...size });
  }
}
