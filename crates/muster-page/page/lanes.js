// Runs as lanes over time: a bar is a run, its end says by shape and colour how it ended, a dotted line is a pause before a restart.

import { button, h, put, svg } from "./dom.js";
import { clock, span } from "./text.js";

const HEIGHT = 26;
const AXIS = 22;
const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800];
// Seconds that the whole chart shows at least.
const NEAREST = 2;
const END = { failed: "M-4,-4 L4,4 M4,-4 L-4,4", ok: "M-4,0 L-1,4 L5,-4", asked: "M-3,-3 h6 v6 h-6 z", exits: "M-5,-6 h10 v12 h-10 z" };

/** The meaning of the shapes. */
export const legend = () => h("p", { class: "legend" }, [["failed", "failed"], ["ok", "ended well"], ["asked", "ended as requested"]].map(([kind, text]) =>
  h("span", {}, svg("svg", { width: 28, height: 14, "aria-hidden": "true", viewBox: "0 0 28 14" }, svg("g", { class: `run ${kind}` },
    svg("rect", { x: 0, y: 3, width: 22, height: 8, rx: 1 }), svg("path", { d: END[kind], transform: "translate(22 7)" }))), text)),
h("span", {}, svg("svg", { width: 24, height: 14, "aria-hidden": "true" }, svg("line", { class: "pause", x1: 0, x2: 24, y1: 7, y2: 7 })), "waits to restart"));

/**
 * Draws lanes. `data` is `{ lanes: [{ name, href, bars: [{ from, to, kind, label, data }], pauses: [{ from, to }] }], from, to, marks: [{ at, label }] }`,
 * times in seconds; `axis` makes a text of a time; `pick` is called with the data of a bar. Returns `{ redraw(data), end }`.
 */
export function lanes(place, data, { axis, pick, label }) {
  let now = data;
  let view = [data.from, data.to];
  let isWhole = true;
  const chart = svg("svg", { class: "lanes", role: "img", "aria-label": label, tabindex: 0 });
  const names = h("div", { class: "lane-names" });
  const zoom = (factor, at = (view[0] + view[1]) / 2) => {
    const width = Math.min(now.to - now.from, Math.max(NEAREST, (view[1] - view[0]) * factor));
    const share = (at - view[0]) / (view[1] - view[0] || 1);
    const from = Math.max(now.from, Math.min(now.to - width, at - share * width));
    view = [from, from + width];
    isWhole = width >= now.to - now.from;
    draw();
  };
  const shift = (share) => {
    const width = view[1] - view[0];
    const from = Math.max(now.from, Math.min(now.to - width, view[0] + share * width));
    view = [from, from + width];
    draw();
  };
  const keys = { "+": () => zoom(0.5), "=": () => zoom(0.5), "-": () => zoom(2), ArrowLeft: () => shift(-0.25), ArrowRight: () => shift(0.25), 0: () => zoom(1e9) };
  chart.addEventListener("keydown", (event) => {
    if (!keys[event.key] || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    event.stopPropagation();
    keys[event.key]();
  });
  chart.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.altKey && Math.abs(event.deltaX) < Math.abs(event.deltaY)) return;
    event.preventDefault();
    const box = chart.getBoundingClientRect();
    if (event.ctrlKey || event.altKey) zoom(event.deltaY > 0 ? 1.25 : 0.8, view[0] + ((event.clientX - box.left) / box.width) * (view[1] - view[0]));
    else shift(event.deltaX / box.width);
  }, { passive: false });
  put(place, h("div", { class: "bar", role: "group", "aria-label": "Time" },
    button("Nearer", () => zoom(0.5), { "aria-keyshortcuts": "+" }), button("Farther", () => zoom(2), { "aria-keyshortcuts": "-" }),
    button("Earlier", () => shift(-0.5)), button("Later", () => shift(0.5)), button("All", () => zoom(1e9))),
  h("div", { class: "lane-box" }, names, chart));

  function draw() {
    const width = chart.clientWidth || 600;
    const height = AXIS + now.lanes.length * HEIGHT + 4;
    chart.setAttribute("viewBox", `0 0 ${width} ${height}`);
    chart.setAttribute("height", height);
    const [from, to] = view;
    const x = (at) => ((at - from) / (to - from || 1)) * (width - 12) + 2;
    const clip = (value) => Math.max(-10, Math.min(width + 10, value));
    const nodes = [];
    const step = STEPS.find((one) => ((width / (to - from)) * one) > 90) ?? STEPS.at(-1);
    for (let at = Math.ceil(from / step) * step; at <= to; at += step) {
      const text = axis(at);
      nodes.push(svg("line", { class: "grid", x1: x(at), x2: x(at), y1: AXIS - 4, y2: height }));
      if (x(at) < width - text.length * 6.5) nodes.push(svg("text", { x: x(at) + 3, y: 13 }, text));
    }
    now.lanes.forEach((lane, index) => {
      const top = AXIS + index * HEIGHT;
      const middle = top + HEIGHT / 2;
      nodes.push(svg("line", { class: "ground", x1: 0, x2: width, y1: top, y2: top }));
      for (const pause of lane.pauses) {
        if (pause.to < from || pause.from > to) continue;
        nodes.push(svg("line", { class: "pause", x1: clip(x(pause.from)), x2: clip(x(pause.to)), y1: middle, y2: middle }, svg("title", {}, pause.label ?? "")));
      }
      for (const bar of lane.bars) {
        if (bar.to < from || bar.from > to) continue;
        const [left, right] = [clip(x(bar.from)), clip(x(bar.to))];
        nodes.push(svg("g", { class: `run ${bar.kind}`, onclick: pick && (() => pick(bar.data)) }, svg("title", {}, bar.label),
          svg("rect", { x: left, y: middle - 5, width: Math.max(1.5, right - left), height: 10, rx: 1 }),
          END[bar.kind] && bar.to <= to && svg("path", { d: END[bar.kind], transform: `translate(${right} ${middle})` })));
      }
    });
    for (const mark of now.marks ?? []) {
      if (mark.at < from || mark.at > to) continue;
      nodes.push(svg("line", { class: `mark ${mark.kind ?? ""}`, x1: x(mark.at), x2: x(mark.at), y1: AXIS - 6, y2: height }, svg("title", {}, mark.label)));
    }
    put(chart, nodes);
  }
  function drawNames() {
    put(names, now.lanes.map((lane) => h(lane.href ? "a" : "span", { href: lane.href, title: lane.name }, lane.name)));
  }
  const size = new ResizeObserver(() => requestAnimationFrame(draw));
  size.observe(chart);
  drawNames();
  return {
    redraw(next) {
      const isAtEnd = view[1] >= now.to;
      now = next;
      if (isWhole) view = [next.from, next.to];
      else if (isAtEnd) view = [view[0] + (next.to - view[1]), next.to];
      drawNames();
      draw();
    },
    end: () => size.disconnect(),
  };
}

/** Times of the day on an axis. */
export const byClock = (at) => clock(at * 1000);

/** Time from now on an axis. */
export const fromNow = (at) => (at ? `+${span(at)}` : "now");
