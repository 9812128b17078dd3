// The configuration: what is active and where each key came from, what a reload would change, mistakes, and servers that it comes from.

import { get, post } from "./api.js";
import { dialog, note } from "./dialog.js";
import { button, failure, h, put, table } from "./dom.js";
import { mayAct } from "./actions.js";
import { session } from "./session.js";
import { configuration } from "./settings.js";
import { on } from "./store.js";
import { plural, some, span } from "./text.js";

/** A value, as the configuration file has it. */
export const shown = (value) => (value === null ? "none" : typeof value === "string" ? (value === "" ? '""' : value) : JSON.stringify(value).replace(/,(?=["[{\d])/g, ", ").replace(/":/g, '": '));

const isSet = (value) => value !== null && value !== "" && !(Array.isArray(value) && !value.length) && !(typeof value === "object" && !Object.keys(value).length);

/** The keys of a program with their values, and the files that set them. */
export function keysOf(keys, isWhole) {
  const { origin, ...rest } = keys;
  const list = Object.entries(rest).filter(([key, value]) => isWhole || origin?.[key] || (key === "command" && isSet(value)));
  return table("Keys", ["Key", "Value", "From"], list.map(([key, value]) => [
    h("code", {}, key), h("code", { class: "value" }, shown(value)), origin?.[key]?.join(", ") ?? h("span", { class: "quiet" }, "default")]));
}

/** The settings of one instance, in a place; returns how to end that. */
export function showSettings(place, name) {
  put(place, h("p", { class: "quiet" }, "Loading …"));
  configuration().then(({ programs: all }) => {
    const keys = all?.[name];
    const box = h("div");
    const draw = (isWhole) => put(box, keysOf(keys, isWhole));
    if (!keys) return put(place, h("p", {}, "Its settings are not shown here: the configuration is of supervisord."));
    draw(false);
    return put(place, h("label", { class: "bar" }, h("input", { type: "checkbox", onchange: (event) => draw(event.target.checked) }), "with every default"), box);
  }, (problem) => put(place, failure(problem)));
  return () => {};
}

const diagnostics = (list) => list.map((it) => h("pre", { class: `diagnostic ${it.severity}`, tabindex: 0 }, it.text));

/** The keys of each program that a reload would change: from what to what. */
function changedKeys({ keys, restarted, changed }) {
  const row = ({ name, key, before, after }) => {
    const isHidden = JSON.stringify(before) === JSON.stringify(after);
    return [name, h("code", {}, key), isHidden ? h("span", { class: "quiet" }, "not shown") : h("del", {}, shown(before)), !isHidden && h("ins", {}, shown(after))];
  };
  const count = restarted.length + changed.length;
  return keys.length > 0 && [table("Changed keys", ["Program", "Key", "Active", "New"], keys.map(row)), count > 100 && h("p", { class: "quiet" }, "Of the first 100 programs.")];
}

/** The changes of a reload, as lists. */
function difference(report) {
  const part = (sign, names, text) => names.length > 0 && h("div", { class: "change" }, h("h3", {}, `${sign} ${plural(names.length, text)}`), h("p", {}, names.join(", ")));
  const isNothing = !report.added.length && !report.removed.length && !report.restarted.length && !report.changed.length;
  return h("div", {}, isNothing && h("p", {}, "Nothing changes: the files are as what is active."),
    part("+", report.added, "new program"), part("−", report.removed, "removed program"),
    part("↻", report.restarted, "restarted program"), part("~", report.changed, "program changed in place"), changedKeys(report),
    report.needs_restart.length > 0 && h("p", { class: "warning" }, `The daemon must be restarted for: ${report.needs_restart.join(", ")}`),
    diagnostics(report.diagnostics));
}

function reloading() {
  const place = h("div");
  const check = button("Check for changes", async () => {
    put(place, h("p", { class: "quiet" }, "Reading the files …"));
    try {
      const report = await post("/v1/config/reload?dry_run=true");
      const count = report.added.length + report.removed.length + report.restarted.length + report.changed.length;
      put(place, difference(report), count > 0 && h("p", {}, h("button", { type: "button", class: "danger", disabled: !mayAct(), onclick: () => confirm(report) }, "Apply …")));
    } catch (problem) {
      put(place, problem.diagnostics.length ? [h("p", { class: "bad" }, "The files have mistakes; what is active stays."), diagnostics(problem.diagnostics)] : failure(problem));
    }
  }, { class: "primary" });
  const confirm = ({ added, removed, restarted, changed }) => {
    const line = (names, text) => names.length > 0 && h("li", {}, `${some(names, 6)} ${text}`);
    dialog("Apply the configuration?", h("ul", { class: "hits" }, line(added, "added"), line(removed, "stopped and removed"), line(restarted, "restarted"), line(changed, "changed, without a restart")), [
      ["Apply", async () => {
        const report = await post("/v1/config/reload");
        note(`the configuration was applied: ${report.added.length} added, ${report.removed.length} removed, ${report.restarted.length} restarted, ${report.changed.length} changed`);
        put(place);
      }, "danger"],
    ]);
  };
  return [h("div", { class: "bar" }, check), place];
}

function sources(list, again) {
  const act = (name, verb) => button(verb, async () => {
    try {
      await post(`/v1/sources/${encodeURIComponent(name)}/${verb.toLowerCase()}`);
      again();
    } catch (problem) {
      note(problem.message, true);
    }
  }, { "aria-label": `${verb} ${name}` });
  return table("Sources", ["Source", "State", "Version", "Last answer", "About", ""], list.map((it) => [
    [h("b", {}, it.name), " ", h("small", {}, it.url)], it.state, it.revision ?? "", it.last_contact ? `${span(Date.now() / 1000 - it.last_contact)} ago` : "never",
    [it.reason, it.is_pending && "a new version waits"].filter(Boolean).join("; "),
    session.mayControl && [act(it.name, "Refresh"), session.mayAdmin && act(it.name, it.is_held ? "Release" : "Hold")]]));
}

/** Shows all of it in a place; returns how to end that. */
export function show(place) {
  let isOver = false;
  const sourcePlace = h("div");
  const settingsPlace = h("div");
  const readSources = async () => {
    const list = await get("/v1/sources").catch(() => []);
    if (!isOver && list.length) put(sourcePlace, h("h2", {}, "Sources"), sources(list, readSources));
  };
  const readSettings = () => configuration().then((answer) => {
    if (isOver) return;
    const filter = h("input", { type: "search", id: "filter", placeholder: "Filter", "aria-label": "Filter programs", autocomplete: "off", "aria-keyshortcuts": "/", oninput: () => draw() });
    const whole = h("input", { type: "checkbox", onchange: () => draw() });
    const list = h("div");
    const draw = () => put(list, Object.entries(answer.programs ?? {}).filter(([name]) => name.toLowerCase().includes(filter.value.toLowerCase())).slice(0, 300)
      .map(([name, keys]) => lazily(name, () => keysOf(keys, whole.checked))));
    put(settingsPlace, h("h2", {}, "Active"), h("p", {}, "Read from ", some(answer.files, 8) || "no file", "."),
      lazily("[musterd]", () => keysOf(answer.musterd, true)), lazily("[http]", () => keysOf(answer.http, true)),
      h("div", { class: "bar" }, filter, h("label", {}, whole, "with every default")), list,
      answer.programs === null && h("p", {}, "The keys of programs are not shown: the configuration is of supervisord."));
    draw();
  }, (problem) => !isOver && put(settingsPlace, failure(problem)));
  put(place, h("h1", {}, "Configuration"), session.mayControl ? reloading() : null, sourcePlace, settingsPlace);
  readSources();
  readSettings();
  const end = on("event", (event) => {
    if (event.kind === "configured") readSettings();
    if (event.kind === "source") readSources();
  });
  return () => {
    isOver = true;
    end();
  };
}

/** Details that are made when they are opened. */
function lazily(title, make) {
  const it = h("details", { class: "settings" }, h("summary", {}, title));
  it.addEventListener("toggle", () => { if (it.open && it.children.length === 1) it.append(make()); });
  return it;
}
