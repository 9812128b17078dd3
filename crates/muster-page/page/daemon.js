// The daemon itself: what it is, its own log, every process, its listeners, and the events.

import { get } from "./api.js";
import { h, load, put, table, toggle } from "./dom.js";
import * as logs from "./logs.js";
import { daemon, on, readDaemon, recent } from "./store.js";
import { bytes, since, span, time } from "./text.js";

const MOST_PROCESSES = 2000;
const MOST_EVENTS = 200;

function about() {
  const { info, ready } = daemon;
  if (!info) return h("p", { class: "quiet" }, "Loading …");
  const rows = [
    ["Version", `musterd ${info.version}, API ${info.api}`], ["State", info.state], ["Process", `pid ${info.pid}${info.is_pid1 ? ", the init of its container" : ""}`],
    ["Up", [span(since(info.started_at)), ", since ", time(info.started_at)]], ["Goals", `${info.goals.up} up, ${info.goals.down} down`],
    ["Ready", ready?.ready ? "yes" : ready?.missing?.map((it) => `${it.name}: ${it.reason}`).join("; ") || "no"],
    ["Files", info.config_files.join(", ")],
  ];
  return [h("dl", {}, rows.map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)])),
    info.listeners.length > 0 && table("Listeners", ["Listener", "State", "Certificate expires"], info.listeners.map((it) => [
      it.address, it.is_listening ? "listens" : h("b", { class: "bad" }, it.error ?? "does not listen"), it.not_after ? time(it.not_after) : ""]))];
}

const processRows = (list, of) => list.map((it) => [String(it.pid), of, h("code", { class: "value" }, it.command), it.state, bytes(it.memory), span(it.cpu)]);

function processes({ programs, execs, strays, omitted }) {
  const heads = ["Pid", "Program", "Command", "State", "Memory", "CPU time"];
  const all = programs.flatMap((it) => processRows(it.processes, it.name));
  const executed = execs.flatMap((it) => processRows(it.processes, `exec of ${it.name} by ${it.by}`));
  return [
    strays.length > 0 && [h("h3", {}, `${strays.length} that belong to no program`), table("Strays", heads, processRows(strays, ""))],
    table("Processes", heads, [...executed, ...all].slice(0, MOST_PROCESSES)),
    (omitted > 0 || all.length > MOST_PROCESSES) && h("p", { class: "quiet" }, `and ${omitted + Math.max(0, all.length - MOST_PROCESSES)} more`),
  ];
}

/** One line about an event. */
function words(event) {
  const { id, at, kind, name, ...rest } = event;
  if (kind === "state") return `${event.from} → ${event.to}`;
  if (kind === "ended") return event.exit?.reason ?? "";
  return event.why ?? event.reason ?? event.detail ?? event.cause ?? Object.entries(rest).filter(([key, value]) => key !== "run" && value !== null && typeof value !== "object").map(([key, value]) => `${key} ${value}`).join(", ");
}

const PARTS = [["log", "Log"], ["processes", "Processes"], ["events", "Events"]];

/** Shows it in a place; returns how to end that. */
export function show(place, part = "log") {
  const head = h("div");
  const body = h("div", { class: "part" });
  put(place, h("h1", {}, "Daemon"), head, h("nav", { class: "tabs", "aria-label": "Parts of the daemon" }, PARTS.map(([key, text]) =>
    h("a", { href: `#/daemon/${key}`, "aria-current": key === part ? "page" : undefined }, text))), body);
  const ends = [on("daemon", () => put(head, about()))];
  put(head, about());
  readDaemon().catch(() => {});
  if (part === "log") ends.push(logs.show(body, [logs.OWN]));
  if (part === "processes") load(body, get("/v1/processes"), processes);
  if (part === "events") ends.push(events(body));
  return () => ends.forEach((end) => end());
}

function events(body) {
  let isPaused = false;
  let frame = 0;
  const rows = h("div");
  const draw = () => put(rows, table("Events since this page was opened", ["When", "Event", "Program", "About"], recent.slice(-MOST_EVENTS).reverse().map((it) => [
    time(it.at, true), it.kind, it.name ?? "", words(it)])), !recent.length && h("p", { class: "quiet" }, "None since this page was opened."));
  put(body, h("div", { class: "bar" }, toggle("Pause", false, (now) => { isPaused = now; if (!now) draw(); })), rows);
  draw();
  return on("event", () => { if (!isPaused) frame ||= setTimeout(() => { frame = 0; draw(); }, 200); });
}
