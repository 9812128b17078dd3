// How an instance is: its state as a word and a shape, what is wrong with it, and what comes next.

import { h } from "./dom.js";
import { since, span, ticking } from "./text.js";

export const STATES = ["FATAL", "BACKOFF", "EXITED", "STARTING", "STOPPING", "WAITING", "RUNNING", "STOPPED"];

/** A state as a shape and its word. */
export const badge = (state) => h("span", { class: "state", data: { state } }, h("i", { class: "shape", "aria-hidden": "true" }), h("b", {}, state));

const PROBATION = 60;

/** How bad it is: 3 needs a person, 2 is being retried, 1 is not what it should be, 0 is well. */
export function trouble(it) {
  if (it.state === "FATAL") return 3;
  if (it.state === "EXITED" && it.exit && !it.exit.success) return 3;
  if (it.state === "BACKOFF" || it.waits_in_vain || it.health === "unhealthy") return 2;
  // Just restarted: whether it stays up is not known yet.
  if (it.failures > 0 && (it.state === "STARTING" || (it.state === "RUNNING" && since(it.started_at) < PROBATION))) return 2;
  return it.old_process ? 1 : 0;
}

/** Remarks beside the word of a state. */
export function remarks(it) {
  const words = [];
  if (it.phase) words.push(`${it.phase} hook`);
  if (it.ready === false && it.state === "RUNNING") words.push("not ready");
  if (it.health === "unhealthy") words.push("unhealthy");
  if (it.rolling) words.push(`rolling ${it.rolling.step} of ${it.rolling.of}`);
  if (it.old_process) words.push("old process");
  return words;
}

/** The time for which it has been up. */
export const upFor = (it) => (it.started_at && it.pid !== null ? ticking(since(it.started_at)) : "");

/** When it starts next, as a countdown. */
export function next(it) {
  const at = it.next_start_at ?? it.next_due;
  if (!at) return "";
  const left = -since(at);
  return left > 0 ? `in ${ticking(left)}` : "now";
}

/** One line about it. */
export function sentence(it) {
  if (it.status) return it.status;
  if (it.state === "RUNNING") return "";
  if (it.state === "WAITING" && it.waiting_for.length) {
    return `${it.waits_in_vain ? "waits in vain for" : "waits for"} ${it.waiting_for.join(", ")}`;
  }
  if (it.exit && (it.state === "BACKOFF" || it.state === "FATAL" || it.state === "EXITED")) return it.exit.reason;
  return it.description;
}

/** The runs that the policy allows before it gives up: `3 of 10`. */
export const tries = (it) => (it.startretries === null ? `${it.failures}` : `${it.failures} of ${it.startretries}`);

export const isUp = (it) => it.pid !== null && it.state !== "STOPPING";

/** How a run ended, in the words of its colour: `ok`, `failed`, `asked` or `running`. */
export function outcome(run) {
  if (!run.ended_at && !run.exit && !run.spawn_error) return "running";
  if (run.exit?.success) return "ok";
  if (run.ended_by === "musterd" && /stop|reload|restarted|recycle|shutdown/.test(`${run.cause ?? ""} ${run.verdict ?? ""}`)) return "asked";
  return "failed";
}

/** How a run ended, as text. */
export function ending(run) {
  if (run.spawn_error) return run.spawn_error.message;
  if (!run.exit) return run.ended_at ? "ended" : "running";
  return run.cause ? `${run.exit.reason}: ${run.cause}` : run.exit.reason;
}

export const lasted = (run) => span(run.uptime);
