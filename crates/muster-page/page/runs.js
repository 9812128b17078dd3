// All runs over time: of every instance, or of one.

import { get } from "./api.js";
import { button, failure, h, put, table } from "./dom.js";
import { byClock, lanes, legend } from "./lanes.js";
import { ending, lasted, outcome } from "./state.js";
import { on } from "./store.js";
import { now, plural, span, time } from "./text.js";

const SPANS = [["10m", 600], ["1h", 3600], ["6h", 21600], ["1d", 86400], ["7d", 604800]];
// Lanes of one chart, and rows of the table below it.
const MOST_LANES = 150;
const MOST_ROWS = 200;
// Seconds of the shortest chart.
const SHORTEST = 30;
let chosen = "1h";

const spanOf = () => SPANS.find(([text]) => text === chosen)[1];

const seconds = (at) => Date.parse(at) / 1000;

/** The runs of these instances since a time, as the API has them. */
export const runsOf = (since, names) =>
  get(`/v1/runs?since=${since}${names ? `&select=${encodeURIComponent(names.map((name) => `=${name}`).join(","))}` : ""}`);

// The daemon keeps the last runs of an instance only.
const KEPT = 20;

/** How many runs of an instance began after another one, within a period: `3`, or `at least 19` if older runs are not kept. */
export function restartsIn({ runs }, period) {
  const from = now() / 1000 - period;
  const count = runs.filter((run, at) => at > 0 && seconds(run.started_at) >= from).length;
  const isAll = runs.length < KEPT || seconds(runs[0].started_at) < from;
  return { count, text: isAll ? String(count) : `at least ${count}` };
}

function laneOf({ name, runs }) {
  const end = now() / 1000;
  const bars = runs.map((run) => ({ from: seconds(run.started_at), to: run.ended_at ? seconds(run.ended_at) : end, kind: outcome(run),
    label: `run ${run.run}, ${lasted(run) || span((run.ended_at ? seconds(run.ended_at) : end) - seconds(run.started_at))}: ${ending(run)}`, data: { name, run } }));
  const pauses = runs.slice(1).flatMap((run, at) => {
    const before = runs[at];
    return before.ended_at && outcome(before) === "failed" ? [{ from: seconds(before.ended_at), to: seconds(run.started_at),
      label: `restarted after ${span(seconds(run.started_at) - seconds(before.ended_at))}` }] : [];
  });
  return { name, href: `#/program/${encodeURIComponent(name)}/runs`, bars, pauses };
}

/** The end of a run: what is known of it. */
export function card(name, run, close) {
  const lines = run.last_lines ?? [];
  return h("section", { class: "card", "aria-label": `Run ${run.run} of ${name}`, tabindex: -1 },
    h("h3", {}, `${name}, run ${run.run}`, close && button("×", close, { class: "plain", "aria-label": "Close" })),
    h("dl", {}, [
      ["Started", time(run.started_at, true)], ["Ended", run.ended_at ? time(run.ended_at, true) : "it runs"],
      ["How", ending(run)], ["By", run.ended_by && run.ended_by.replaceAll("_", " ")], ["Decided", run.verdict],
      ["Left behind", run.left_behind?.words], ["Out of memory", run.out_of_memory ? "yes, by the kernel" : null], ["Core", run.core_dumped ? "dumped" : null],
    ].filter(([, value]) => value).map(([name_, value]) => [h("dt", {}, name_), h("dd", {}, value)])),
    lines.length > 0 && lastLines(lines));
}

export const lastLines = (lines) => h("pre", { class: "last", tabindex: 0, "aria-label": "Its last lines" }, lines.map((line) =>
  h("span", { class: line.stream }, `${line.text}${line.is_cut ? " …" : ""}\n`)));

/** Shows runs in a place; returns how to end that. */
export function show(place, name = null) {
  const box = h("div");
  const chartPlace = h("div");
  const detail = h("div");
  const list = h("div");
  let chart = null;
  let timer = 0;
  let isOver = false;

  async function open({ name: of, run }) {
    put(detail, card(of, run, () => put(detail)));
    detail.firstChild.focus();
    // The last lines are only in the details of the instance.
    const whole = await get(`/v1/programs/${encodeURIComponent(`=${of}`)}`).catch(() => null);
    const found = whole?.runs.find((it) => it.run === run.run);
    if (found && detail.firstChild) put(detail, card(of, found, () => put(detail)));
  }

  async function read() {
    let answer;
    try {
      // Twice the time, since a run is a restart if another one was before it.
      answer = await runsOf(`${2 * spanOf()}s`, name ? [name] : null);
    } catch (problem) {
      if (!chart) put(chartPlace, failure(problem));
      return;
    }
    if (isOver) return;
    const to = now() / 1000;
    const from = to - spanOf();
    const isShown = (run) => !run.ended_at || seconds(run.ended_at) >= from;
    const withRuns = answer.filter((it) => it.runs.some(isShown));
    // Those that failed most are what one looks for.
    const worst = [...withRuns].sort((a, b) => b.runs.length - a.runs.length).slice(0, MOST_LANES);
    const shown = withRuns.filter((it) => worst.includes(it));
    // Nothing is known of the time before the first run that is kept.
    const first = Math.min(to - SHORTEST, ...shown.flatMap((it) => it.runs.map((run) => seconds(run.started_at))));
    const start = Math.max(from, first - (to - first) * 0.02);
    const data = { lanes: shown.map(laneOf), from: start, to: to + (to - start) * 0.01 };
    if (chart) chart.redraw(data);
    else chart = lanes(chartPlace, data, { axis: byClock, pick: open, label: `Runs of ${plural(shown.length, "program")} over time; the table below has them as text` });
    const rows = withRuns.flatMap((it) => it.runs.filter(isShown).map((run) => ({ name: it.name, run }))).sort((a, b) => b.run.started_at.localeCompare(a.run.started_at));
    const counts = withRuns.map((it) => restartsIn(it, spanOf()));
    const count = counts.reduce((sum, it) => sum + it.count, 0);
    put(list, h("p", {}, h("b", {}, `${counts.some((it) => it.text.startsWith("at")) ? "at least " : ""}${plural(count, "restart")}`),
      ` in the last ${span(spanOf()).replace("1 h", "hour").replace("1 d", "day")}`,
      withRuns.length > shown.length && `; the ${shown.length} programs with the most runs are drawn`),
    !name && !rows.length && h("p", { class: "quiet" }, "No run in this time."),
    rows.length > 0 && table("Runs", [...(name ? [] : ["Program"]), "Run", "Started", "Lasted", "How it ended", "Decided"], rows.slice(0, MOST_ROWS).map((it) => [
      ...(name ? [] : [it.name]),
      button(`run ${it.run.run}`, () => open(it), { class: "link" }), time(it.run.started_at),
      it.run.ended_at ? lasted(it.run) || span(seconds(it.run.ended_at) - seconds(it.run.started_at)) : `${span(to - seconds(it.run.started_at))}, so far`,
      [h("span", { class: `end ${outcome(it.run)}` }, ending(it.run))], it.run.verdict ?? ""])));
  }

  const choice = h("select", { "aria-label": "Time span", onchange: (event) => {
    chosen = event.target.value;
    chart?.end();
    chart = null;
    read();
  } }, SPANS.map(([text]) => h("option", { value: text, selected: text === chosen }, `last ${text}`)));
  put(place, h("div", { class: "runs" }, h("div", { class: "bar" }, choice, legend()), chartPlace, detail, list, box));
  read();
  const soon = (event) => {
    if (!["ended", "state", "retry"].includes(event.kind) || (name && event.name !== name)) return;
    timer ||= setTimeout(() => { timer = 0; read(); }, name ? 300 : 1500);
  };
  const end = on("event", soon);
  return () => {
    isOver = true;
    clearTimeout(timer);
    chart?.end();
    end();
  };
}
