// Numbers, times and the text of others, as people read them.

const THIN = "\u2009";

// A number with thin spaces between groups of three digits.
export function number(value, digits = 0) {
  if (value === null || value === undefined || !Number.isFinite(value)) {
    return "–";
  }
  const [whole, rest] = Math.abs(value).toFixed(digits).split(".");
  const grouped = whole.replace(/\B(?=(\d{3})+$)/g, THIN);
  const text = rest === undefined ? grouped : `${grouped}.${rest}`;
  return value < 0 && /[1-9]/.test(text) ? `−${text}` : text;
}

// A measured value with its unit.
export function measured(value, unit, digits = 2) {
  const isTiny = value !== 0 && Math.abs(value) < 10 ** -digits / 2;
  const isHuge = Math.abs(value) >= 1e12;
  const exponential = () => value.toExponential(2).replace("-", "−");
  const text = value && (isTiny || isHuge) ? exponential() : number(value, digits);
  return unit && text !== "–" ? `${text}${THIN}${plain(unit)}` : text;
}

export function rate(value, isEstimate = false) {
  const text = number(value, value < 100 ? 1 : 0);
  return text === "–" ? text : `${isEstimate ? "≈" + THIN : ""}${text}/s`;
}

export function seconds(value) {
  if (value === null || value === undefined) {
    return "–";
  }
  if (value < 0.001) {
    return `<${THIN}1${THIN}ms`;
  }
  if (value < 1) {
    return `${number(value * 1000, value < 0.01 ? 1 : 0)}${THIN}ms`;
  }
  return value < 100 ? `${number(value, 1)}${THIN}s` : `${number(value / 60)}${THIN}min`;
}

export function megabytes(value) {
  const text = number(value === null ? null : value / 1e6, 1);
  return text === "–" ? text : `${text}${THIN}MB`;
}

// A time in milliseconds since the epoch.
export function time(value) {
  const date = new Date(value);
  if (Number.isNaN(date.getTime())) {
    return `${number(value)}${THIN}ms`;
  }
  return date.toISOString().replace("T", " ").replace(/(\.000)?Z$/, "");
}

// A lag, and where it goes.
export function lag(report) {
  if (!report) {
    return ["–", ""];
  }
  const count = `${report.lag_is === "at most" ? "≤" + THIN : ""}${number(report.lag)}`;
  const speed = rate(Math.abs(report.records_per_second ?? 0));
  const directions = {
    grows: `↗ grows ${speed}`,
    drains: `↘ drains in ${seconds(report.drains_in_seconds)}`,
    steady: "→ steady",
  };
  return [count, directions[report.direction] ?? ""];
}

// Characters that are invisible, or change the direction of the text, are shown as what they are.
const HIDDEN = /[\p{Cc}\p{Zl}\p{Zp}\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff]/gu;

export function plain(text) {
  return text.replace(HIDDEN, (hidden) => `\\u{${hidden.codePointAt(0).toString(16)}}`);
}

export function shortened(text, longest) {
  const letters = [...text];
  return letters.length > longest ? `${letters.slice(0, longest - 1).join("")}…` : text;
}

// Plotly reads names as markup: these are none.
export function label(name, longest = 40) {
  const text = shortened(plain(name), longest);
  return text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
}
