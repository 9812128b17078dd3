// Why an instance is as it is: the story in the daemon's words, its last lines before the end, and the runs before.

import { get, named } from "./api.js";
import { failure, h, put } from "./dom.js";
import { card, lastLines } from "./runs.js";
import { ending, lasted, next, outcome } from "./state.js";
import { on, programs } from "./store.js";
import { clock, time, withTimes } from "./text.js";

/** The story of an instance, as the API has it. */
export const why = (name) => get(named(name, "/why"));

/** Runs that ended the same way, one after another, are one line. */
function together(runs) {
  const lines = [];
  for (const run of runs) {
    const before = lines.at(-1);
    const text = ending(run);
    if (before?.text === text) before.runs.push(run);
    else lines.push({ text, runs: [run] });
  }
  return lines;
}

function earlier(name, runs) {
  return h("ol", { class: "earlier" }, together(runs).map(({ text, runs: of }) => h("li", {},
    h("details", {}, h("summary", {}, time(of[0].ended_at), " ", h("span", { class: `end ${outcome(of[0])}` }, text),
      of.length > 1 ? `, ${of.length} times since ${clock(of.at(-1).started_at)}` : `, after ${lasted(of[0]) || "0 s"}`),
    of.map((run) => card(name, run))))));
}

/** Shows the story in a place; returns how to end that. */
export function show(place, name) {
  const countdown = h("span", { class: "countdown" });
  let timer = 0;
  let isOver = false;
  async function read() {
    let it;
    try {
      it = await why(name);
    } catch (problem) {
      if (!isOver) put(place, failure(problem));
      return;
    }
    if (isOver) return;
    const story = it.story.filter((line) => line.replace(/^next: /, "") !== it.next && line !== it.summary);
    const lines = it.run?.last_lines ?? [];
    put(place, h("div", { class: "why" },
      h("p", { class: "summary" }, withTimes(it.summary)),
      story.length > 0 && h("ol", { class: "story" }, story.map((line) => h("li", {}, withTimes(line)))),
      it.next && h("p", { class: "next" }, h("b", {}, "Next: "), withTimes(it.next), " ", countdown),
      lines.length > 0 && [h("h3", {}, `Last lines of run ${it.run.run}, before it ended`), lastLines(lines)],
      it.run?.hooks?.length > 0 && it.run.hooks.map((hook) => [h("h3", {}, `Hook ${hook.hook}: ${hook.reason}`), lastLines(hook.last_lines)]),
      it.run && [h("h3", {}, "Its last end"), card(name, { ...it.run, last_lines: [] })],
      it.earlier.length > 0 && [h("h3", {}, "Before that"), earlier(name, it.earlier)]));
    tick();
  }
  const tick = () => {
    const it = programs.get(name);
    countdown.textContent = it?.next_start_at ? next(it) : "";
  };
  read();
  const ticks = setInterval(tick, 1000);
  const end = on("event", (event) => {
    if (event.name === name) timer ||= setTimeout(() => { timer = 0; read(); }, 400);
  });
  return () => {
    isOver = true;
    clearTimeout(timer);
    clearInterval(ticks);
    end();
  };
}
