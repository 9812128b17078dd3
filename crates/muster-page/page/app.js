// Where the page begins: the login, the views by their addresses, and the keyboard.

import { ACTIONS, act } from "./actions.js";
import { whenLoginIsMissing } from "./api.js";
import * as attention from "./attention.js";
import { announce } from "./dialog.js";
import { failure, h, put } from "./dom.js";
import * as head from "./head.js";
import { help, keyboard } from "./help.js";
import * as login from "./login.js";
import { begin } from "./session.js";
import { follow, on, programs } from "./store.js";
import * as table from "./table.js";

const main = document.getElementById("app");
const header = document.querySelector("header");

// Views that are not seen first are loaded when they are.
const VIEWS = {
  "": (place) => {
    const [above, below] = [h("div"), h("div")];
    put(place, h("h1", { class: "unseen" }, "Programs"), above, below);
    const ends = [attention.show(above), table.show(below)];
    return () => ends.forEach((end) => end());
  },
  program: async (place, name, tab) => (await import("./detail.js")).show(place, name, tab),
  logs: async (place, ...names) => {
    const logs = await import("./logs.js");
    const body = h("div", { class: "part" });
    put(place, h("p", { class: "back" }, h("a", { href: "#/" }, "← Programs")), h("h1", {}, `Logs of ${names.join(", ")}`), body);
    return logs.show(body, names.slice(0, 3).map(logs.ofProgram));
  },
  graph: async (place, name) => {
    const body = h("div");
    put(place, h("h1", {}, "Graph"), body);
    return (await import("./graph.js")).show(body, name);
  },
  runs: async (place) => {
    const body = h("div");
    put(place, h("h1", {}, "Runs"), body);
    return (await import("./runs.js")).show(body);
  },
  config: async (place) => (await import("./config.js")).show(place),
  daemon: async (place, part) => (await import("./daemon.js")).show(place, part),
};

let end = () => {};
let shown = 0;
let address = ["", ""];

const parts = () => {
  try {
    return location.hash.replace(/^#\/?/, "").split("/").map(decodeURIComponent);
  } catch {
    return [""];
  }
};

async function show() {
  const mine = (shown += 1);
  const before = address;
  const [view, ...rest] = address = parts();
  const focused = document.activeElement?.getAttribute?.("href");
  end();
  end = () => {};
  const place = h("div", { class: `view view-${view || "programs"}` });
  put(main, place);
  head.mark(view);
  try {
    const ended = await (VIEWS[view] ?? VIEWS[""])(place, ...rest);
    if (mine === shown) end = ended;
    else ended();
  } catch (problem) {
    put(place, failure(problem));
    return;
  }
  if (mine !== shown || shown === 1) return;
  scrollTo(0, 0);
  if (!view && before[0] === "program" && table.focusRow(before[1])) return;
  const same = focused && main.querySelector(`.tabs a[href="${CSS.escape(focused)}"]`);
  const title = place.querySelector("h1");
  if (same) same.focus();
  else if (title && !place.contains(document.activeElement)) {
    title.tabIndex = -1;
    title.focus({ preventScroll: true });
  }
}

const go = (...to) => { location.hash = `#/${to.map(encodeURIComponent).join("/")}`; };

/** The instance that a key means: that of the view, or the row with the focus. */
const meant = () => (address[0] === "program" ? address[1] : table.current());
const open = (tab) => () => { if (meant()) go("program", meant(), tab); };
const does = (verb) => () => {
  if (address[0] !== "program") {
    if (!address[0]) table.actOnTargets(verb);
  } else if (programs.has(address[1]) && ACTIONS[verb].fits(programs.get(address[1]))) act(verb, [address[1]]);
};
const inTable = (step) => () => { if (!address[0]) step(); };

const KEYS = {
  "/": () => document.getElementById("filter")?.focus(), "?": help,
  j: inTable(() => table.move(1)), k: inTable(() => table.move(-1)),
  " ": inTable(() => table.pickCurrent()),
  w: open("why"), l: open("logs"), u: open("runs"), i: open("whatif"),
  g: () => (meant() && programs.has(meant()) ? go("graph", programs.get(meant()).program) : go("graph")),
  t: () => go("runs"), c: () => go("config"), d: () => go("daemon"), h: () => go(""),
  Escape: () => { if (address[0]) go(""); },
  ...Object.fromEntries(Object.entries(ACTIONS).map(([verb, { key }]) => [key, does(verb)])),
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || document.querySelector("dialog[open]")) return;
  const field = event.target.closest("input:not([type=checkbox], [type=radio]), select, textarea");
  if (field) {
    if (event.key === "Escape") field.blur();
    return;
  }
  if (!keyboard.isOn && event.key.length === 1) return;
  if (event.key === " " && event.target.closest("button, input, summary, .lines, pre")) return;
  const key = KEYS[event.key];
  if (!key) return;
  event.preventDefault();
  key();
});

on("event", (event) => {
  if (event.kind === "state") announce(`${event.name} is ${event.to}`);
});

let isBegun = false;
function enter() {
  document.body.classList.remove("out");
  header.hidden = false;
  if (isBegun) {
    // Another login may have another role.
    location.reload();
    return;
  }
  isBegun = true;
  head.show(header);
  addEventListener("hashchange", show);
  const first = on("change", () => { first(); announce(head.overview()); });
  follow();
  show();
}

function leave() {
  if (document.body.classList.contains("out")) return;
  document.body.classList.add("out");
  header.hidden = true;
  end();
  end = () => {};
  login.show(main, enter);
}

whenLoginIsMissing(leave);
try {
  if (await begin()) enter();
  else leave();
} catch (problem) {
  if (problem.status !== 401) {
    put(main, failure(problem), h("p", {}, h("button", { type: "button", onclick: () => location.reload() }, "Try again")));
  }
}
