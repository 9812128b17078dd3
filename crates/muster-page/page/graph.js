// The dependencies between programs, as a drawing in layers and as a table: a program is below everything that it waits for.

import { failure, h, put, svg, table } from "./dom.js";
import { layout } from "./layout.js";
import { byProgram, dependencies } from "./settings.js";
import { STATES, badge, trouble } from "./state.js";
import { on, programs } from "./store.js";
import { some } from "./text.js";

const WIDTH = 168;
const HEIGHT = 44;
const GAP_X = 24;
const GAP_Y = 56;
// The height of an edge's label, and how many have a height of their own.
const LABEL = 13;
const LABELS = 3;

/** The state of a program: the worst one of its instances. */
const worst = (instances) => [...instances].sort((a, b) => trouble(b) - trouble(a) || STATES.indexOf(a.state) - STATES.indexOf(b.state))[0];

const HOLDS = {
  started: (it) => ["RUNNING"].includes(it.state) || (it.state === "EXITED" && it.exit?.success),
  ready: (it) => (it.state === "RUNNING" && it.ready !== false) || (it.state === "EXITED" && it.exit?.success),
  healthy: (it) => it.state === "RUNNING" && it.ready !== false && it.health !== "unhealthy" && it.health !== "unknown",
  completed: (it) => it.state === "EXITED" && it.exit?.success,
  exited: (it) => it.state === "EXITED" || it.state === "FATAL",
};

/** The edges: `from` waits for `to`, or restarts with it. */
function edgesOf(all) {
  const edges = [];
  for (const program of all.values()) {
    for (const [name, condition] of dependencies(program.keys)) if (all.has(name)) edges.push({ from: program.name, to: name, condition });
    for (const name of program.keys.restart_with ?? []) if (all.has(name)) edges.push({ from: program.name, to: name, isRestart: true });
  }
  return edges;
}

const holds = (edge, all) => edge.isRestart || all.get(edge.to).instances.every((it) => HOLDS[edge.condition]?.(programs.get(it.name) ?? it));

/** The order of stopping: one wave after another, dependents before what they depend on, higher priorities first. */
function waves(all, edges) {
  const wave = new Map();
  const levels = [...new Set([...all.values()].map((it) => it.keys.priority ?? 999))].sort((a, b) => b - a);
  const of = (name, path) => {
    if (wave.has(name)) return wave.get(name);
    if (path.includes(name)) return 0;
    const least = levels.indexOf(all.get(name).keys.priority ?? 999);
    const waiting = edges.filter((edge) => !edge.isRestart && edge.to === name).map((edge) => of(edge.from, [...path, name]) + 1);
    const result = Math.max(least, 0, ...waiting);
    wave.set(name, result);
    return result;
  };
  for (const name of all.keys()) of(name, []);
  const used = [...new Set(wave.values())].sort((a, b) => a - b);
  for (const [name, number] of wave) wave.set(name, used.indexOf(number) + 1);
  return wave;
}

/** Shows the graph in a place; returns how to end that. */
export function show(place, chosen) {
  let isOver = false;
  let end = () => {};
  put(place, h("p", { class: "quiet" }, "Loading …"));

  byProgram().then((all) => {
    if (isOver) return;
    const edges = edgesOf(all);
    const wave = waves(all, edges);
    const linked = new Set(edges.flatMap((edge) => [edge.from, edge.to]));
    const alone = [...all.keys()].filter((name) => !linked.has(name));
    const { layers, at, columns } = layout([...linked], edges);
    const x = (name) => at.get(name).column * (WIDTH + GAP_X) + 8;
    const y = (name) => at.get(name).layer * (HEIGHT + GAP_Y) + 8;
    // The labels of the edges of one program stand one above the other.
    const labelled = new Map();
    const lines = edges.map((edge) => {
      const above = labelled.get(edge.from) ?? 0;
      if (!edge.isRestart) labelled.set(edge.from, above + 1);
      return drawEdge(edge, x, y, above % LABELS);
    });
    const nodes = new Map([...linked].map((name) => [name, drawNode(all.get(name), x(name), y(name), wave.get(name))]));
    const [width, height] = [columns * (WIDTH + GAP_X) + 16, layers.length * (HEIGHT + GAP_Y) - GAP_Y + 20];
    const drawing = svg("svg", { class: "graph", width, height, viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": "Graph of dependencies; the arrow keys go along it" },
      svg("defs", {}, svg("marker", { id: "tip", viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 7, markerHeight: 7, orient: "auto" }, svg("path", { d: "M0,0 L8,4 L0,8 z" }))),
      lines.map((it) => it.element), [...nodes.values()].map((it) => it.element));
    drawing.addEventListener("keydown", (event) => walk(event, nodes, layers, at, edges));
    const rows = h("div");
    put(place, edges.length ? h("div", { class: "scroll", tabindex: -1 }, drawing) : h("p", { class: "quiet" }, "No program depends on another one."),
      edges.length > 0 && h("p", { class: "legend" }, h("span", {}, line(""), "the condition holds"), h("span", {}, line("open"), "it does not hold"), h("span", {}, line("restart"), "restarts with it"),
        h("span", {}, "The number is the wave of a shutdown in which it stops.")),
      alone.length > 0 && h("p", {}, h("b", {}, "Alone: "), alone.map((name, index) => [index ? ", " : "", link(name, all)])), rows);
    const draw = () => {
      lines.forEach((it) => it.element.classList.toggle("open", !holds(it.edge, all)));
      for (const [name, it] of nodes) it.draw(worst(all.get(name).instances.map((one) => programs.get(one.name) ?? one)));
      const focused = rows.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
      put(rows, table("Dependencies", ["Program", "State", "Depends on", "Restarts with", "Needed by", "Stops in wave"], [...all.values()].map((it) => [
        link(it.name, all), badge(worst(it.instances.map((one) => programs.get(one.name) ?? one)).state),
        dependencies(it.keys).map(([name, condition], index) => [index ? ", " : "", `${name} (${condition}${all.has(name) && !holds({ to: name, condition }, all) ? ", not met" : ""})`]),
        (it.keys.restart_with ?? []).join(", "), some(edges.filter((edge) => edge.to === it.name && !edge.isRestart).map((edge) => edge.from), 6), String(wave.get(it.name))])));
      if (focused) rows.querySelector(`a[href="${CSS.escape(focused)}"]`)?.focus();
    };
    draw();
    const first = nodes.get(chosen) ?? nodes.values().next().value;
    if (first) first.element.setAttribute("tabindex", 0);
    if (nodes.has(chosen)) first.element.focus();
    let timer = 0;
    end = on("change", () => { timer ||= setTimeout(() => { timer = 0; if (!isOver) draw(); }, 200); });
  }, (problem) => put(place, failure(problem)));

  return () => {
    isOver = true;
    end();
  };
}

const line = (kind) => svg("svg", { width: 28, height: 10, "aria-hidden": "true", class: "graph" }, svg("g", { class: `edge ${kind}` }, svg("path", { d: "M0,5 H28" })));

const href = (it) => `#/program/${encodeURIComponent(it.instances[0].name)}`;
const link = (name, all) => h("a", { href: href(all.get(name)) }, name);

function drawNode(program, x, y, wave) {
  const word = svg("text", { x: 26, y: 35, class: "word" });
  const shape = svg("foreignObject", { x: 8, y: 24, width: 14, height: 14 }, h("span", { class: "state" }, h("i", { class: "shape" })));
  const title = program.name.length > 20 ? `${program.name.slice(0, 19)}…` : program.name;
  const element = svg("a", { href: href(program), class: "node", tabindex: -1, transform: `translate(${x} ${y})`, data: { name: program.name } },
    svg("title", {}, program.name), svg("rect", { width: WIDTH, height: HEIGHT, rx: 4 }), svg("text", { x: 8, y: 17 }, title), shape, word,
    svg("text", { x: WIDTH - 8, y: 17, class: "wave", "text-anchor": "end" }, wave));
  return { element, draw(it) {
    const count = program.instances.length;
    const up = program.instances.filter((one) => (programs.get(one.name) ?? one).state === it.state).length;
    word.textContent = count > 1 ? `${it.state} (${up} of ${count})` : it.state;
    shape.firstChild.dataset.state = it.state;
    element.setAttribute("aria-label", `${program.name}: ${word.textContent}, stops in wave ${wave}`);
  } };
}

function drawEdge(edge, x, y, above) {
  const [x1, y1] = [x(edge.to) + WIDTH / 2, y(edge.to) + HEIGHT];
  const [x2, y2] = [x(edge.from) + WIDTH / 2, y(edge.from)];
  const bend = Math.max(20, (y2 - y1) / 2);
  const label = edge.isRestart ? "" : edge.condition;
  const element = svg("g", { class: edge.isRestart ? "edge restart" : "edge" },
    svg("path", { d: `M${x1},${y1} C${x1},${y1 + bend} ${x2},${y2 - bend} ${x2},${y2}`, "marker-end": "url(#tip)" }),
    label && svg("text", { x: x2 + (x1 - x2) * 0.22, y: y2 - GAP_Y * 0.28 - above * LABEL, "text-anchor": "middle" }, label));
  return { edge, element };
}

/** The arrow keys: down to what needs it, up to what it needs, left and right within a layer. */
function walk(event, nodes, layers, at, edges) {
  const name = event.target.closest("[data-name]")?.dataset.name;
  if (!name) return;
  const layer = layers[at.get(name).layer];
  const to = {
    ArrowLeft: () => layer[layer.indexOf(name) - 1], ArrowRight: () => layer[layer.indexOf(name) + 1],
    ArrowUp: () => edges.find((edge) => edge.from === name)?.to, ArrowDown: () => edges.find((edge) => edge.to === name)?.from,
  }[event.key];
  if (!to) return;
  event.preventDefault();
  const other = nodes.get(to());
  if (!other) return;
  event.target.closest("[data-name]").setAttribute("tabindex", -1);
  other.element.setAttribute("tabindex", 0);
  other.element.focus();
}
