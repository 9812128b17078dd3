// The view "What if": the daemon plays its own rules on, from the state that it has, in simulated time.

import { post } from "./api.js";
import { failure, h, put, table } from "./dom.js";
import { fromNow, lanes, legend } from "./lanes.js";
import { STATES, badge } from "./state.js";
import { plural, some, span } from "./text.js";

const UNTIL = [["10 minutes", 600], ["1 hour", 3600], ["6 hours", 21600], ["1 day", 86400]];
const MOST_ROWS = 300;
const TRIES = 4;
const PAUSE = 600;
const DOWN = ["BACKOFF", "WAITING", "STOPPED", "EXITED", "FATAL"];

/** The script of the runs, in the words of `musterd simulate`. */
export function script({ how, status, signal, again, after }) {
  const end = { status: `${status}`, signal: `sig:${signal}`, oom: "oom", spawn: "spawn-error" }[how];
  const later = how === "spawn" || !after ? end : `${end}@${after}s`;
  return again === "once" ? `${end}, hang` : again === "three" ? `${end}, ${later}, ${later}, hang` : `${end}, ${later} ×*`;
}

/** Bars and pauses of an instance in a timeline. */
export function laneOf(name, timeline, end) {
  const bars = [];
  const pauses = [];
  let up = null;
  let down = null;
  for (const step of timeline) {
    if (step.program !== name || !STATES.includes(step.state)) continue;
    const isUp = !DOWN.includes(step.state);
    // One that is up at the beginning.
    if (up === null && down === null && !bars.length && step.from && !DOWN.includes(step.from)) up = 0;
    if (isUp && up === null) {
      if (down !== null) pauses.push({ from: down, to: step.at });
      up = step.at;
      down = null;
    } else if (!isUp && up !== null) {
      const kind = step.state === "STOPPED" ? "asked" : step.state === "EXITED" && /success/.test(step.happened ?? "") ? "ok" : "failed";
      bars.push({ from: up, to: step.at, kind, label: [step.happened, step.decided].filter(Boolean).join(": ") });
      up = null;
      down = ["BACKOFF", "WAITING"].includes(step.state) ? step.at : null;
    } else if (!isUp && !["BACKOFF", "WAITING"].includes(step.state)) down = null;
    else if (!isUp) down ??= step.at;
  }
  if (up !== null) bars.push({ from: up, to: end, kind: "running", label: "runs on" });
  if (down !== null) pauses.push({ from: down, to: end });
  return { name, bars, pauses };
}

/** How often an instance is started again. */
const timesOf = (name, { timeline }) => timeline.filter((step) => step.program === name && step.state === "STARTING").length;

function sentence(answer, name, until) {
  const its = answer.programs.find((it) => it.name === name);
  const words = [];
  if (answer.exit_code !== null) {
    words.push(h("b", { class: "bad" }, `The container exits with ${answer.exit_code} after ${span(answer.ended_at)}`), answer.reason ? `: ${answer.reason}. ` : ". ");
  }
  if (its) {
    words.push(`${name} is restarted ${plural(timesOf(name, answer), "time")}`, its.state === "FATAL" ? [", then it is ", h("b", { class: "bad" }, "given up (FATAL)"), its.decided ? `: ${its.decided.replace(/^given up: /, "")}.` : "."]
      : answer.exit_code === null ? `; after ${span(until)} it is ${its.state}.` : ".");
  }
  const isStopped = (it) => answer.timeline.some((step) => step.program === it.name && step.state === "STOPPING");
  const others = answer.exit_code === null ? answer.programs.filter((it) => it.name !== name && isStopped(it)).map((it) => it.name) : [];
  if (others.length) words.push(` ${some(others, 5)} ${others.length === 1 ? "restarts" : "restart"} with it.`);
  return h("p", { class: "summary", role: "status" }, words);
}

/** Shows the question and its answer in a place; returns how to end that. */
export function show(place, name) {
  const state = { how: "status", status: "1", signal: "KILL", again: "always", after: 0, until: 3600 };
  const result = h("div");
  let chart = null;
  let asked = 0;
  let isOver = false;

  async function ask(tries = TRIES) {
    const mine = (asked += 1);
    try {
      const answer = await post("/v1/simulate", { runs: { [name]: script(state) }, until: state.until });
      if (mine === asked && !isOver) draw(answer);
    } catch (problem) {
      if (mine !== asked || isOver) return;
      // The daemon plays one at a time, for all who ask.
      if (problem.kind === "urn:muster:busy" && tries) setTimeout(() => { if (mine === asked && !isOver) ask(tries - 1); }, PAUSE);
      else put(result, failure(problem));
    }
  }

  function draw(answer) {
    chart?.end();
    const last = answer.timeline.findLast((step) => step.program === name)?.at ?? 0;
    const to = Math.min(answer.ended_at, Math.max(10, last * 1.15));
    const named = new Set(answer.timeline.map((step) => step.program).filter(Boolean));
    const touched = [name, ...[...named].filter((it) => it !== name)];
    const marks = answer.timeline.filter((step) => step.state === "FATAL" && step.from !== "FATAL").map((step) => ({ at: step.at, kind: "fatal", label: `${step.program} is FATAL` }));
    if (answer.exit_code !== null) marks.push({ at: answer.ended_at, kind: "exit", label: `the container exits with ${answer.exit_code}` });
    const box = h("div");
    put(result, sentence(answer, name, state.until), box, h("div", { class: "bar" }, legend(), h("p", { class: "quiet" }, "A clone of the daemon's state, in simulated time. Nothing is started or stopped.")),
      table("Every decision", ["When", "Program", "State", "It happens", "Decided, and by which rule"], answer.timeline.slice(0, MOST_ROWS).map((step) => [
        h("span", { class: "when" }, fromNow(step.at)), step.program ?? "the container", STATES.includes(step.state) ? badge(step.state) : step.state ?? "", step.happened ?? "", step.decided ?? ""])),
      answer.timeline.length > MOST_ROWS && h("p", { class: "quiet" }, `and ${answer.timeline.length - MOST_ROWS} more changes`));
    chart = lanes(box, { lanes: touched.slice(0, 40).map((it) => laneOf(it, answer.timeline, to)), from: 0, to, marks },
      { axis: fromNow, label: "What would happen, over time; the table below has every decision as text" });
  }

  const set = (key, convert = String) => (event) => {
    state[key] = convert(event.target.value);
    statusLabel.hidden = state.how !== "status";
    signalLabel.hidden = state.how !== "signal";
    ask();
  };
  const choice = (label, key, values, convert) => h("label", {}, label, h("select", { onchange: set(key, convert) },
    values.map(([text, value]) => h("option", { value, selected: value === state[key] }, text))));
  const statusLabel = h("label", {}, "status ", h("input", { type: "number", min: 0, max: 255, value: state.status, onchange: set("status") }));
  const signalLabel = h("label", { hidden: true }, "signal ", h("select", { onchange: set("signal") }, ["KILL", "SEGV", "ABRT", "TERM", "HUP", "INT", "BUS"].map((value) => h("option", {}, value))));
  put(place, h("form", { class: "bar whatif", onsubmit: (event) => { event.preventDefault(); ask(); } },
    choice("If it ended now by ", "how", [["an exit status", "status"], ["a signal", "signal"], ["the kernel, out of memory", "oom"], ["not being found", "spawn"]]),
    statusLabel, signalLabel,
    choice("and its next runs ", "again", [["failed too", "always"], ["failed twice more", "three"], ["stayed up", "once"]]),
    choice("each after ", "after", [["0 s", 0], ["2 s", 2], ["15 s", 15], ["1 minute", 60], ["5 minutes", 300]], Number),
    choice("for ", "until", UNTIL, Number)), result);
  ask();
  return () => {
    isOver = true;
    chart?.end();
  };
}
