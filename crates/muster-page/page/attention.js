// Trouble comes first: every instance in trouble with its reason, its last lines, what comes next, and the buttons that help.

import { buttonsFor, mayAct } from "./actions.js";
import { h, put } from "./dom.js";
import { restartsIn, runsOf } from "./runs.js";
import { badge, next, remarks, sentence, trouble, tries } from "./state.js";
import { daemon, on, programs } from "./store.js";
import { plural, withTimes } from "./text.js";
import { why } from "./why.js";

const MOST = 4;
const LINES = 4;
const HOUR = 3600;
// Milliseconds until the story of a program that has changed is read again, and between two readings.
const SOON = 120;
const PAUSE = 2000;

/** Shows it in a place; returns how to end that. */
export function show(place) {
  const cards = new Map();
  const list = h("div", { class: "cards" });
  const title = h("h2", { id: "attention-title" });
  const more = h("p", { class: "quiet" });
  const section = h("section", { class: "attention", "aria-labelledby": "attention-title", hidden: true }, title, list, more);
  place.append(section);

  function make(name) {
    const part = (kind) => h("div", { class: kind });
    const it = { name, element: h("article", { data: { name }, "aria-label": name }), head: part("head"), reason: part("reason"), lines: part("tail"), soon: part("soon"), buttons: part("buttons"),
      restarts: h("span"), timer: 0, readAt: -PAUSE, readFor: null, key: "" };
    it.element.append(it.head, it.reason, it.lines, it.soon, it.buttons);
    cards.set(name, it);
    return it;
  }

  /** Reads the story of an instance again, once it has changed. */
  function readSoon(card, program) {
    const key = `${program.state} ${program.run} ${program.exit?.reason} ${program.waits_in_vain}`;
    if (card.readFor === key) return;
    card.readFor = key;
    card.timer ||= setTimeout(async () => {
      Object.assign(card, { timer: 0, readAt: performance.now() });
      const [story, runs] = await Promise.all([why(card.name).catch(() => null), runsOf("2h", [card.name]).catch(() => null)]);
      if (!cards.has(card.name)) return;
      if (story) {
        const lines = story.run?.last_lines ?? [];
        put(card.reason, h("p", {}, withTimes(story.summary)), story.next && h("p", { class: "next" }, h("b", {}, "Next: "), withTimes(story.next)));
        put(card.lines, lines.length > 0 && h("pre", { class: "last", "aria-label": `Last lines of ${card.name} before it ended` }, lines.slice(-LINES).map((line) => h("span", { class: line.stream }, `${line.text}\n`))));
      }
      const restarts = runs?.[0] && restartsIn(runs[0], HOUR);
      card.restarts.textContent = restarts?.count ? `restarted ${restarts.text} ${restarts.count === 1 ? "time" : "times"} in the last hour` : "";
    }, Math.max(SOON, card.readAt + PAUSE - performance.now()));
  }

  function draw(card, it) {
    const key = JSON.stringify([it.state, it.failures, remarks(it), mayAct(), sentence(it)]);
    if (card.key === key) return;
    card.key = key;
    card.element.dataset.trouble = trouble(it);
    const address = `#/program/${encodeURIComponent(it.name)}`;
    put(card.head, badge(it.state), h("h3", {}, h("a", { href: address }, it.name)), h("span", { class: "quiet" },
      [...remarks(it), it.failures ? `restart ${tries(it)}` : ""].filter(Boolean).join(", "), " "), card.restarts);
    if (!card.reason.firstChild) put(card.reason, h("p", {}, sentence(it)));
    const focused = card.buttons.contains(document.activeElement) ? document.activeElement.textContent : null;
    const link = (tab, text) => h("a", { class: "button", href: `${address}/${tab}`, "aria-label": `${text}: ${it.name}` }, text);
    put(card.buttons, buttonsFor([it.name], ["start", "restart", "stop"]).map((button) => { button.setAttribute("aria-label", `${button.textContent} ${it.name}`); return button; }),
      link("why", "Why"), link("logs", "Logs"), link("runs", "Runs"), link("whatif", "What if"));
    if (focused) [...card.buttons.children].find((other) => other.textContent === focused)?.focus();
  }

  function arrange() {
    const bad = [...programs.values()].filter((it) => trouble(it) > 1).sort((a, b) => trouble(b) - trouble(a) || a.waits_in_vain - b.waits_in_vain || a.name.localeCompare(b.name, "en", { numeric: true }));
    const shown = bad.slice(0, MOST);
    for (const name of [...cards.keys()]) if (!shown.some((it) => it.name === name)) { cards.get(name).element.remove(); cards.delete(name); }
    shown.forEach((it, at) => {
      const card = cards.get(it.name) ?? make(it.name);
      draw(card, it);
      readSoon(card, it);
      if (list.children[at] !== card.element) list.insertBefore(card.element, list.children[at] ?? null);
    });
    section.hidden = !bad.length;
    title.textContent = `${plural(bad.length, "program")} ${bad.length === 1 ? "needs" : "need"} attention`;
    more.textContent = bad.length > MOST ? `and ${bad.length - MOST} more: see "in trouble" below` : "";
  }
  arrange();

  const tick = setInterval(() => {
    // One that has stayed up for a while is no longer in trouble.
    if ([...cards.keys()].some((name) => !programs.has(name) || trouble(programs.get(name)) < 2)) arrange();
    for (const [name, card] of cards) {
      const it = programs.get(name);
      const soon = it ? next(it) : "";
      card.soon.textContent = soon && daemon.link === "live" ? `starts ${soon}` : "";
    }
  }, 500);
  const ends = [on("change", arrange), on("daemon", arrange)];
  return () => {
    clearInterval(tick);
    ends.forEach((end) => end());
  };
}
