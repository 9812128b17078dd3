// CPU time and memory of the rows on the screen: asked for every two seconds while the page is looked at.

import { get, selection } from "./api.js";
import { put, svg } from "./dom.js";
import { daemon } from "./store.js";
import { bytes } from "./text.js";

const PERIOD = 2000;
const POINTS = 60;
const MOST = 50;
const history = new Map();

/** The figures of an instance: its latest figures, and up to 60 points of each. */
function remember({ name, run, cpu_seconds, memory, processes }, at) {
  let it = history.get(name);
  if (!it || it.run !== run) history.set(name, it = { run, cpu: [], memory: [], last: null });
  if (it.last && at > it.last.at) it.cpu.push(Math.max(0, (cpu_seconds - it.last.cpu_seconds) / (at - it.last.at)));
  it.memory.push(memory);
  if (it.cpu.length > POINTS) it.cpu.shift();
  if (it.memory.length > POINTS) it.memory.shift();
  it.last = { at, cpu_seconds, memory, processes };
  return it;
}

/** Asks for the figures of these names until it is ended, and passes them on. */
export function watchRows(names, does) {
  let isOver = false;
  let timer = 0;
  const look = async () => {
    if (!document.hidden && daemon.link === "live" && names.size) {
      const some = [...names].filter((name) => !name.includes(",")).slice(0, MOST);
      try {
        const list = await get(`/v1/stats?select=${encodeURIComponent(selection(some))}`);
        const at = Date.parse(list.at) / 1000;
        for (const one of isOver ? [] : list.programs) does(one.name, one.processes ? remember(one, at) : null, one.restarts);
      } catch {
        // The next look is soon.
      }
    }
    if (!isOver) timer = setTimeout(look, PERIOD);
  };
  timer = setTimeout(look, 100);
  return () => {
    isOver = true;
    clearTimeout(timer);
  };
}

const WIDTH = 60;
const HEIGHT = 14;

/** A line of points, from 0 to the greatest of them. */
export function spark(points, least = 0) {
  const most = Math.max(least, ...points);
  const step = WIDTH / (POINTS - 1);
  const from = WIDTH - (points.length - 1) * step;
  const line = points.map((value, at) => `${(from + at * step).toFixed(1)},${(HEIGHT - 1 - (most ? value / most : 0) * (HEIGHT - 2)).toFixed(1)}`);
  return svg("svg", { class: "spark", width: WIDTH, height: HEIGHT, viewBox: `0 0 ${WIDTH} ${HEIGHT}`, "aria-hidden": "true" },
    svg("polyline", { points: line.join(" ") }));
}

export const percent = (share) => (share === undefined ? "" : share >= 0.0995 ? `${Math.round(share * 100)} %` : `${(share * 100).toFixed(1)} %`);

/** Fills the two cells of a row. */
export function drawFigures(row, figures) {
  if (!figures) {
    row.cpu.replaceChildren();
    row.memory.replaceChildren();
    return;
  }
  put(row.cpu, figures.cpu.length > 0 && [spark(figures.cpu, 0.1), ` ${percent(figures.cpu.at(-1))}`]);
  put(row.memory, spark(figures.memory), ` ${bytes(figures.last.memory)}`);
}
