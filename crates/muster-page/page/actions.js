// Actions on instances. One that ends a process asks first, and says what else that hits.

import { post, selected } from "./api.js";
import { announce, dialog, note } from "./dialog.js";
import { h, put } from "./dom.js";
import { session } from "./session.js";
import { configuration, consequences } from "./settings.js";
import { daemon, programs } from "./store.js";
import { plural, some, span } from "./text.js";

// Names in one request: a path has a bound.
const AT_ONCE = 100;

async function send(names, path, body) {
  const single = names.filter((name) => name.includes(","));
  const plain = names.filter((name) => !name.includes(","));
  const groups = single.map((name) => [name]);
  for (let at = 0; at < plain.length; at += AT_ONCE) groups.push(plain.slice(at, at + AT_ONCE));
  if (groups.length > 1 && names.length === programs.size) return post(`/v1/programs/all${path}`, body);
  const reports = await Promise.all(groups.map((group) => post(selected(group, path), body)));
  return { results: reports.flatMap((report) => report.results) };
}

function report(done, names, { results }) {
  const failed = results.filter((result) => result.outcome === "error");
  if (failed.length) note(failed.slice(0, 3).map((it) => `${it.name}: ${it.error}`).join("; "), true);
  else note(`${done} ${some(names)}`);
  announce(failed.length ? `failed for ${some(failed.map((it) => it.name))}` : `${done} ${some(names)}`);
}

/** The sentences that say what an action hits; filled in when the configuration is there. */
function warnings(names, isStop) {
  const place = h("ul", { class: "hits" });
  const lines = (more) => put(place, h("li", {}, h("b", {}, some(names, 8))), more.map((text) => h("li", {}, text)));
  lines([]);
  consequences(names).then(({ dependents, followers, longest, essential }) => {
    const more = [];
    if (essential.length && isStop === "end") more.push(h("b", {}, `${some(essential)} is essential: the container will exit`));
    else if (essential.length) more.push(`${some(essential)} is essential: if it exits by itself and is not restarted, the container will exit`);
    if (dependents.length) more.push(`${some(dependents, 5)} ${dependents.length === 1 ? "depends" : "depend"} on it`);
    if (followers.length && !isStop) more.push(`${some(followers, 5)} ${followers.length === 1 ? "restarts" : "restart"} with it`);
    if (longest) more.push(`stopping takes at most ${span(longest)}, then SIGKILL`);
    lines(more);
  }, () => {});
  return place;
}

const SIGNALS = ["HUP", "USR1", "USR2", "INT", "TERM", "QUIT", "WINCH", "CONT", "STOP", "KILL"];

const several = (names) => (names.length === 1 ? names[0] : plural(names.length, "program"));

function ask(verb, names, path, done, isStop, extra) {
  dialog(`${verb} ${several(names)}?`, [warnings(names, isStop), extra], [
    [verb, async (form) => report(done, names, await send(names, path(form))), "danger"],
  ]);
}

function askSignal(names) {
  const scope = (value, text, checked) => h("label", {}, h("input", { type: "radio", name: "scope", value, checked }), text);
  dialog(`Send a signal to ${several(names)}`, [
    h("label", {}, "Signal ", h("input", { name: "signal", list: "signals", value: "HUP", required: true, autocomplete: "off" })),
    h("datalist", { id: "signals" }, SIGNALS.map((value) => h("option", { value }))),
    h("fieldset", {}, h("legend", {}, "To"), scope("main", "the main process", true), scope("group", "its process group"),
      scope("tree", "every process of the run")),
    h("p", { class: "quiet" }, "A process that a signal ends is restarted as the policy says. KILL lets it clean up nothing."),
  ], [["Send", async (form) => {
    const [signal, to] = [form.get("signal").trim(), form.get("scope")];
    report(`sent ${signal} to`, names, await send(names, "/signal", { signal, scope: to }));
  }, "danger"]]);
}

function askScale([name]) {
  const program = programs.get(name).program;
  const now = [...programs.values()].filter((it) => it.program === program).length;
  dialog(`Scale ${program}`, [
    h("label", {}, "Instances ", h("input", { name: "numprocs", type: "number", min: 1, max: 1000, value: now, required: true })),
    h("p", { class: "quiet" }, `There are ${now}. Of too many, those with the highest numbers stop; no other process is touched.`),
  ], [["Scale", async (form) => {
    const answer = await post(`/v1/programs/${encodeURIComponent(program)}/scale`, { numprocs: Number(form.get("numprocs")) });
    note(`${program} has ${plural(answer.numprocs, "instance")} from now on`);
  }, "danger"]]);
}

/** Stops everything, and the daemon with it. */
export function askShutdown() {
  const running = [...programs.values()].filter((it) => it.pid !== null);
  dialog("Shut down?", [h("p", {}, h("b", {}, "The container will exit."), ` ${plural(running.length, "program")} will be stopped in order.`),
    warnings(running.map((it) => it.name), true)], [
    ["Shut down", async () => { await post("/v1/shutdown", undefined); note("shutting down"); }, "danger"],
  ]);
}

const several_ = (names) => names.some((name) => {
  const { program } = programs.get(name);
  return [...programs.values()].filter((it) => it.program === program).length > 1;
});

/** Every action: its label, its key, whether it makes sense for an instance, and what it does. */
export const ACTIONS = {
  start: {
    label: "Start", key: "s",
    fits: (it) => it.pid === null,
    does: async (names) => report("starting", names, await send(names, "/start")),
  },
  stop: {
    label: "Stop", key: "x",
    fits: (it) => it.state !== "STOPPED" && it.state !== "EXITED" && it.state !== "FATAL",
    does: (names) => ask("Stop", names, () => "/stop", "stopping", true),
  },
  restart: {
    label: "Restart", key: "r",
    fits: (it) => it.pid !== null,
    does: (names) => ask("Restart", names, (form) => (form.get("rolling") ? "/restart?rolling=1" : "/restart"), "restarting", false,
      several_(names) && h("label", {}, h("input", { type: "checkbox", name: "rolling", checked: true }),
        "one instance of a program at a time, while the others serve")),
  },
  reload: {
    label: "Reload", key: "R",
    fits: isRunning,
    does: async (names) => report("reloading", names, await send(names, "/reload")),
  },
  signal: { label: "Signal …", key: "S", fits: (it) => it.pid !== null, does: askSignal },
  scale: { label: "Scale …", key: "+", fits: () => true, isSingle: true, does: askScale },
};
function isRunning(it) { return it.state === "RUNNING"; }

/** Whether this client may act now: it has the right to, and what it sees is true. */
export const mayAct = () => session.mayControl && daemon.link === "live";

/** Does an action, and shows why it failed. */
export async function act(verb, names) {
  if (!mayAct() || !names.length) return;
  try {
    await ACTIONS[verb].does(names);
  } catch (problem) {
    note([problem.message, problem.hint].filter(Boolean).join(": "), true);
  }
}

// A dialog whose sentences are known when it opens does not move its buttons under the mouse.
const prepare = () => { configuration().catch(() => {}); };

/** The buttons of the actions that fit all of these instances. */
export const buttonsFor = (names, verbs = Object.keys(ACTIONS), props = {}) => verbs
  .filter((verb) => session.mayControl && names.every((name) => programs.has(name) && ACTIONS[verb].fits(programs.get(name))))
  .filter((verb) => !ACTIONS[verb].isSingle || names.length === 1)
  .map((verb) => h("button", { type: "button", class: "act", disabled: !mayAct(), data: { verb }, onclick: () => act(verb, names),
    onpointerenter: prepare, onfocus: prepare, ...props },
    ACTIONS[verb].label));
