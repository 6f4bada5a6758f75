"use strict";
// Polls data.json and redraws. Text only ever enters the page as text nodes.

const POLL_MS = 2000;
const SVG = "http://www.w3.org/2000/svg";
const HEIGHT = 190;
const PAD = { left: 54, right: 8, top: 8, bottom: 20 };

const byId = (id) => document.getElementById(id);

function node(tag, attributes, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children.filter((child) => child !== null));
  return made;
}

function shape(tag, attributes, text) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

// Seconds as a value and a unit a person reads at a glance.
function duration(seconds) {
  if (seconds === null) return ["–", ""];
  const ms = seconds * 1000;
  if (ms < 10) return [ms.toFixed(1), "ms"];
  if (ms < 1000) return [ms.toFixed(0), "ms"];
  return [seconds.toFixed(seconds < 10 ? 2 : 0), "s"];
}
const durationText = (seconds) => duration(seconds).join(" ").trim();
const percent = (share) => `${(share * 100).toFixed(share > 0 && share < 0.1 ? 1 : 0)} %`;
const plain = (value) => (value === 0 || value >= 100 ? value.toFixed(0) : value >= 1 ? value.toFixed(1) : value.toFixed(2));

function span(seconds) {
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172800) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86400)} d`;
}

function put(id, value, unit) {
  byId(id).replaceChildren(value, ...(unit ? [node("small", {}, unit)] : []));
}

// The least of 1, 2, 2.5, 5 times a power of ten that makes at most four steps.
function step(top) {
  const power = 10 ** Math.floor(Math.log10(top / 4));
  return [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((size) => top / size <= 4);
}

const CHARTS = [
  {
    id: "latency", stacked: false, format: durationText,
    read: (series) => [["p50", series.latency.p50], ["p95", series.latency.p95], ["p99", series.latency.p99]],
  },
  { id: "outcomes", stacked: true, format: plain, read: (series) => Object.entries(series.rate) },
  {
    id: "stages", stacked: true, format: plain,
    read: (series) => Object.entries(series.stage_load),
  },
];

class Chart {
  constructor({ id, stacked, format, read }) {
    Object.assign(this, { id, stacked, format, read });
    this.at = null; // the point under the cursor; null shows the newest
    this.svg = shape("svg", { tabindex: 0, role: "img", height: HEIGHT });
    this.legend = node("ul", { class: "legend" });
    this.when = node("p", { class: "when" });
    byId(id).querySelector("figcaption").append(this.when);
    byId(id).append(this.svg, this.legend);
    this.svg.addEventListener("pointermove", (event) => this.point(event.offsetX));
    this.svg.addEventListener("pointerleave", () => this.move(null));
    this.svg.addEventListener("blur", () => this.move(null));
    this.svg.addEventListener("keydown", (event) => this.key(event));
    new ResizeObserver(() => this.draw()).observe(this.svg);
  }

  update(series) {
    this.series = series;
    this.lines = this.read(series);
    this.count = this.lines[0][1].length;
    if (this.at !== null) this.at = Math.min(this.at, this.count - 1);
    this.draw();
  }

  x(index) {
    return PAD.left + (index / (this.count - 1)) * (this.width - PAD.left - PAD.right);
  }

  y(value) {
    return HEIGHT - PAD.bottom - (value / this.top) * (HEIGHT - PAD.top - PAD.bottom);
  }

  point(offset) {
    if (!this.lines) return;
    const share = (offset - PAD.left) / (this.width - PAD.left - PAD.right);
    this.move(Math.max(0, Math.min(this.count - 1, Math.round(share * (this.count - 1)))));
  }

  key(event) {
    const moves = { ArrowLeft: -1, ArrowRight: 1, PageUp: -12, PageDown: 12, Home: -Infinity, End: Infinity };
    if (event.key === "Escape") this.move(null);
    if (!(event.key in moves) || !this.lines) return;
    event.preventDefault();
    const from = this.at ?? this.count - 1;
    this.move(Math.max(0, Math.min(this.count - 1, from + moves[event.key])));
  }

  move(at) {
    this.at = at;
    this.draw();
  }

  draw() {
    if (!this.lines) return;
    this.width = this.svg.clientWidth || 400;
    this.svg.setAttribute("viewBox", `0 0 ${this.width} ${HEIGHT}`);
    const shown = this.stacked ? this.stack() : this.lines.map(([, values]) => values);
    const highest = Math.max(...shown.flat().map((value) => value ?? 0));
    this.top = highest > 0 ? highest * 1.08 : 1;
    this.svg.replaceChildren(...this.grid(highest), ...(this.stacked ? this.areas(shown) : this.curves(shown)));
    if (highest === 0) {
      this.svg.append(shape("text", { class: "empty", x: this.width / 2, y: HEIGHT / 2, "text-anchor": "middle" }, "no traffic yet"));
    }
    if (this.at !== null) {
      this.svg.append(shape("line", { class: "cursor", x1: this.x(this.at), x2: this.x(this.at), y1: PAD.top, y2: HEIGHT - PAD.bottom }));
    }
    this.label();
  }

  stack() {
    const below = new Array(this.count).fill(0);
    return this.lines.map(([, values]) => values.map((value, index) => (below[index] += value)));
  }

  grid(highest) {
    const parts = [];
    const size = step(this.top);
    for (let value = 0; value <= this.top; value += size) {
      if (highest === 0 && value > 0) break;
      const y = Math.round(this.y(value)) + 0.5;
      parts.push(shape("line", { class: "grid", x1: PAD.left, x2: this.width - PAD.right, y1: y, y2: y }));
      parts.push(shape("text", { x: PAD.left - 6, y: y + 4, "text-anchor": "end" }, value === 0 ? "0" : this.format(value)));
    }
    const seconds = this.count * this.series.point_seconds;
    for (const [share, anchor] of [[0, "start"], [0.5, "middle"], [1, "end"]]) {
      const text = share === 1 ? "now" : `${span(seconds * (1 - share))} ago`;
      parts.push(shape("text", { x: this.x(share * (this.count - 1)), y: HEIGHT - 4, "text-anchor": anchor }, text));
    }
    return parts;
  }

  curves(shown) {
    return shown.map((values, which) => {
      let path = "";
      values.forEach((value, index) => {
        if (value === null) return;
        const begins = index === 0 || values[index - 1] === null;
        path += `${begins ? "M" : "L"}${this.x(index).toFixed(1)} ${this.y(value).toFixed(1)}`;
        // A point with quiet ones on both sides is a dot.
        if (begins && (values[index + 1] ?? null) === null) path += "h.1";
      });
      return shape("path", { class: `line s${which}`, d: path });
    });
  }

  areas(shown) {
    return shown.map((values, which) => {
      const below = which === 0 ? values.map(() => 0) : shown[which - 1];
      const up = values.map((value, index) => `${this.x(index).toFixed(1)} ${this.y(value).toFixed(1)}`);
      const down = below.map((value, index) => `${this.x(index).toFixed(1)} ${this.y(value).toFixed(1)}`).reverse();
      return shape("path", { class: `area s${which}`, d: `M${up.join("L")}L${down.join("L")}Z` });
    });
  }

  label() {
    const at = this.at ?? this.count - 1;
    const ago = (this.count - 1 - at) * this.series.point_seconds;
    const when = ago === 0 ? "now" : `${span(ago)} ago`;
    const values = this.lines.map(([name, line]) => [name, line[at] === null ? "–" : this.format(line[at])]);
    this.legend.replaceChildren(
      ...values.map(([name, value], which) => {
        const swatch = shape("svg", { viewBox: "0 0 20 10", "aria-hidden": "true" });
        swatch.append(this.stacked
          ? shape("rect", { class: `area s${which}`, x: 5, width: 10, height: 10 })
          : shape("path", { class: `line s${which}`, d: "M1 5H19" }));
        return node("li", {}, swatch, name, node("b", {}, value));
      }),
    );
    this.when.textContent = this.at === null ? "" : when;
    const title = byId(this.id).querySelector("h2").textContent;
    this.svg.setAttribute("aria-label",
      `${title}, ${when}: ${values.map((pair) => pair.join(" ")).join(", ")}. Arrow keys move through time.`);
  }
}

const BADGES = { ok: ["ok", "✓"], alarm: ["alarm", "▲"], "no verdict": ["none", "…"] };

function cell(label, content, kind) {
  return node("td", { "data-label": label, ...(kind ? { class: kind } : {}) }, ...[content].flat());
}

function meter(share, limit) {
  const svg = shape("svg", { class: "meter", viewBox: "0 0 64 5", "aria-hidden": "true" });
  svg.append(
    shape("rect", { width: 64, height: 5, rx: 2.5 }),
    shape("rect", { class: share > limit ? "over" : "fill", width: 64 * share, height: 5, rx: 2.5 }),
    shape("line", { x1: 64 * limit, x2: 64 * limit, y1: 0, y2: 5 }),
  );
  return svg;
}

function row(entry, limits) {
  const [kind, sign] = BADGES[entry.state];
  const other = entry.best_other;
  const seen = entry.records > 0;
  return node("tr", { "data-species": entry.species },
    node("th", { scope: "row" }, entry.species, entry.simulated ? node("small", {}, "simulated") : null),
    cell("Verdict", [
      node("span", { class: `badge ${kind}` }, node("span", { "aria-hidden": "true" }, sign), entry.state),
      ...entry.reasons.map((reason) => node("small", { class: "reason" }, reason.replace(/^no verdict: /, ""))),
    ], "verdict"),
    cell("Version", [entry.version, node("small", { title: entry.bundle }, entry.bundle.slice(0, 12))]),
    cell("Records in window", `${entry.records}`, "number"),
    cell("Mismatch", seen ? [percent(entry.mismatch_share), meter(entry.mismatch_share, limits.mismatch_share)] : "–", "number"),
    cell("Looks like", other ? [other.species, node("small", {}, `${other.records} records`)] : "–"),
    cell("Undecided", seen ? percent(entry.undecided_share) : "–", "number"),
    cell("GC z", seen ? `${entry.gc_zscore < 0 ? "−" : "+"}${Math.abs(entry.gc_zscore).toFixed(2)}` : "–", "number"),
    cell("N", seen ? percent(entry.n_share) : "–", "number"),
    cell("Median length", [seen ? `${entry.median_length}` : "–", node("small", {}, `trained on ${entry.training_length}`)], "number"),
  );
}

function change(swap) {
  const when = new Date(swap.at * 1000);
  return node("li", {},
    node("time", { datetime: when.toISOString() }, when.toLocaleTimeString()),
    node("span", { class: `badge ${swap.result === "ok" ? "ok" : "alarm"}` }, swap.result === "ok" ? "taken up" : "refused"),
    node("span", {}, `generation ${swap.generation}: ${swap.what}`),
  );
}

const charts = CHARTS.map((chart) => new Chart(chart));

function show(data) {
  const live = data.live;
  for (const name of ["p50", "p95", "p99"]) put(name, ...duration(live.latency[name]));
  put("rate", plain(live.rate));
  put("answered", ...(live.requests ? [percent(live.outcomes.answered / live.requests), `of ${live.requests}`] : ["–"]));
  const alarms = data.species.filter((entry) => entry.state === "alarm").length;
  put("alarms", `${alarms}`, `of ${data.species.length}`);
  byId("alarms-tile").classList.toggle("alarm", alarms > 0);
  document.title = alarms > 0 ? `▲ ${alarms} in alarm · Episome monitor` : "Episome monitor";
  byId("generation").textContent = data.generation ?? "none";
  byId("uptime").textContent = span(data.now - data.started);
  for (const chart of charts) chart.update(data.series);
  byId("rows").replaceChildren(...(data.species.length
    ? data.species.map((entry) => row(entry, data.limits))
    : [node("tr", {}, node("td", { colspan: 10 }, "no species on the shelf; promote one"))]));
  const limits = data.limits;
  byId("limits").textContent =
    `Each row looks back on the last ${limits.window} records sent to that species. Alarm: more than ` +
    `${percent(limits.mismatch_share)} of at least ${limits.needed} records look like another registered species, or ` +
    `${limits.early_mismatches} of the newest ${limits.early_window} do, or the mean GC is more than ${limits.gc_zscore} ` +
    "standard deviations off the training sequences. Undecided records fit no species clearly better, which is usual for near species.";
  byId("swaps").replaceChildren(...(data.swaps.length ? data.swaps.map(change) : [node("li", {}, "none yet")]));
}

let lastGood = null;

function connection(problem) {
  byId("link").className = problem ? "link lost" : "link live";
  const since = lastGood === null ? "" : `, last data ${span((Date.now() - lastGood) / 1000)} ago`;
  byId("link").textContent = problem ? `${problem}${since}` : "live";
  document.body.classList.toggle("stale", Boolean(problem));
}

async function poll() {
  const minutes = document.querySelector("input[name=minutes]:checked").value;
  try {
    const answer = await fetch(`monitor/data.json?minutes=${minutes}`, { cache: "no-store", signal: AbortSignal.timeout(5000) });
    if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
    const data = await answer.json();
    lastGood = Date.now();
    show(data);
    connection(null);
  } catch (error) {
    connection(`no data: ${error.message}`);
  }
}

let timer = null;
async function loop() {
  clearTimeout(timer);
  await poll();
  clearTimeout(timer); // a click may have started a second round meanwhile
  timer = setTimeout(loop, POLL_MS);
}
byId("range").addEventListener("change", loop);
loop();
