// One instance: how it is, what can be done, and its views.

import { ACTIONS, buttonsFor, mayAct } from "./actions.js";
import { showSettings } from "./config.js";
import { h, put, setText } from "./dom.js";
import { drawFigures, watchRows } from "./figures.js";
import * as logs from "./logs.js";
import * as runs from "./runs.js";
import { session } from "./session.js";
import { badge, next, remarks, sentence, tries, upFor } from "./state.js";
import { daemon, on, programs } from "./store.js";
import * as whatif from "./whatif.js";
import * as why from "./why.js";

const TABS = [["why", "Why", "w"], ["logs", "Logs", "l"], ["runs", "Runs", "u"], ["whatif", "What if", "i"], ["settings", "Settings", ""]];
const VIEWS = {
  why: why.show, logs: (place, name) => logs.show(place, [logs.ofProgram(name)]), runs: runs.show, whatif: whatif.show, settings: showSettings,
};

/** Shows an instance in a place; returns how to end that. */
export function show(place, name, tab = "why") {
  const status = h("span", { class: "summary-line" });
  const figures = h("span", { class: "figures" }, h("span", { class: "quiet" }, "CPU "), h("span"), h("span", { class: "quiet" }, " Memory "), h("span"));
  const buttons = h("div", { class: "buttons", role: "group", "aria-label": `Actions on ${name}` });
  const body = h("div", { class: "part" });
  const tabs = TABS.filter(([key]) => key !== "whatif" || session.mayControl || session.role === "read");
  put(place, h("p", { class: "back" }, h("a", { href: "#/", "aria-keyshortcuts": "Escape" }, "← Programs")),
    h("div", { class: "title" }, h("h1", {}, name), status, buttons), figures,
    h("nav", { class: "tabs", "aria-label": `Views of ${name}` }, tabs.map(([key, text, shortcut]) => h("a", {
      href: `#/program/${encodeURIComponent(name)}/${key}`, "aria-current": key === tab ? "page" : undefined, "aria-keyshortcuts": shortcut || undefined }, text))), body);
  const mark = badge("");
  const words = h("span");
  put(status, mark, " ", words);
  let fitting = "";
  const draw = () => {
    const it = programs.get(name);
    if (!it) {
      if (daemon.link === "live" && programs.size) put(status, h("b", {}, "There is no such program."));
      return;
    }
    if (!mark.isConnected) put(status, mark, " ", words);
    mark.dataset.state = it.state;
    setText(mark.lastChild, it.state);
    const up = upFor(it);
    const soon = next(it);
    setText(words, [...remarks(it), up && `up ${up}`, soon && `next start ${soon}`, it.failures ? `restart ${tries(it)}` : "", sentence(it), it.pid ? `pid ${it.pid}` : ""].filter(Boolean).join(" · "));
    const now = `${Object.keys(ACTIONS).filter((verb) => ACTIONS[verb].fits(it))} ${mayAct()}`;
    if (now === fitting) return;
    fitting = now;
    const focused = buttons.contains(document.activeElement) ? document.activeElement.dataset.verb : null;
    put(buttons, buttonsFor([name]));
    if (focused) (buttons.querySelector(`[data-verb="${focused}"]`) ?? buttons.querySelector("button"))?.focus();
  };
  draw();
  const ticks = setInterval(draw, 1000);
  const [cpu, memory] = [figures.children[1], figures.children[3]];
  figures.hidden = true;
  const ends = [
    on("change", (names) => { if (!names || names.has(name)) draw(); }),
    on("daemon", draw),
    watchRows(new Set([name]), (_, figure) => {
      figures.hidden = !figure;
      drawFigures({ cpu, memory }, figure);
    }),
    (VIEWS[tab] ?? VIEWS.why)(body, name),
  ];
  return () => {
    clearInterval(ticks);
    ends.forEach((end) => end());
  };
}
