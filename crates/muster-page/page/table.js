// The table of instances. Rows are made once and changed in place, so the focus and a selection of text stay; only rows on the screen
// count their seconds and get figures.

import { ACTIONS, act, buttonsFor, mayAct } from "./actions.js";
import { h, put, setText, toggle } from "./dom.js";
import { drawFigures, watchRows } from "./figures.js";
import { session } from "./session.js";
import { STATES, badge, next, remarks, sentence, trouble, tries, upFor } from "./state.js";
import { daemon, on, programs } from "./store.js";
import { plural } from "./text.js";

const COLUMNS = [
  ["", "pick"], ["State", "state"], ["Program", "name"], ["Uptime", "uptime"], ["CPU", "cpu"], ["Memory", "memory"],
  ["Restarts", "restarts"], ["Next start", "next"], ["About", "about"], ["", "do"],
];
const SORTS = {
  state: (a, b) => STATES.indexOf(a.state) - STATES.indexOf(b.state),
  name: () => 0,
  uptime: (a, b) => (Date.parse(a.started_at) || Infinity) - (Date.parse(b.started_at) || Infinity),
  restarts: (a, b) => b.failures - a.failures,
  next: (a, b) => (Date.parse(a.next_start_at ?? a.next_due) || Infinity) - (Date.parse(b.next_start_at ?? b.next_due) || Infinity),
};
const PAGE = 2000;
// Rows of the first layout: what a screen shows. The others follow in the next frame.
const FIRST = 60;

const byName = new Intl.Collator("en", { numeric: true }).compare;
const settings = { text: "", state: "", group: "", sort: "name", backwards: false, page: 0 };
const picked = new Set();
const rows = new Map();
const visible = new Set();
let view = null;

const cell = (kind, label) => h("td", { class: `c-${kind}`, role: "cell", data: { head: label } });

const pattern = () => {
  const row = h("tr", { role: "row" });
  for (const [label, kind] of COLUMNS) row.append(kind === "name" ? h("th", { class: "c-name", role: "rowheader", scope: "row" }) : cell(kind, label));
  const [pick, state, name] = row.children;
  pick.append(h("input", { type: "checkbox", tabindex: -1 }));
  state.append(badge(""), h("small", {}));
  name.append(h("a", { tabindex: -1 }));
  row.children[6].append(h("span"), h("small"));
  return row;
};
let sample = null;

function makeRow(name) {
  sample ??= pattern();
  const element = sample.cloneNode(true);
  element.dataset.name = name;
  const [pick, state, title, uptime, cpu, memory, restarts, soon, about, todo] = element.children;
  const link = title.firstChild;
  link.href = `#/program/${encodeURIComponent(name)}`;
  link.textContent = name;
  pick.firstChild.setAttribute("aria-label", `Select ${name}`);
  pick.firstChild.checked = picked.has(name);
  const row = { element, pick: pick.firstChild, state, link, uptime, cpu, memory, restarts, soon, about, todo, verbs: null };
  rows.set(name, row);
  return row;
}

function drawRow(row, it) {
  const [mark, small] = row.state.children;
  mark.dataset.state = it.state;
  setText(mark.lastChild, it.state);
  setText(small, remarks(it).join(", "));
  row.element.dataset.trouble = trouble(it);
  drawRestarts(row, it);
  setText(row.about, sentence(it));
  row.about.title = sentence(it);
  drawTimes(row, it);
  const verbs = session.mayControl ? ["restart", "start", "stop"].filter((verb) => ACTIONS[verb].fits(it)).slice(0, 2).join(" ") : "";
  if (row.verbs !== verbs) {
    row.verbs = verbs;
    put(row.todo, verbs && buttonsFor([it.name], verbs.split(" "), { tabindex: -1 }).map((it_) => {
      it_.setAttribute("aria-label", `${it_.textContent} ${it.name}`);
      return it_;
    }));
  }
}

/** Restarts in a row, and in all once the figures are there. */
function drawRestarts(row, it) {
  const [inAll, inARow] = row.restarts.children;
  setText(inAll, row.restartsInAll === undefined ? "" : String(row.restartsInAll));
  setText(inARow, it.failures ? `${tries(it)} in a row` : "");
}

function drawTimes(row, it) {
  setText(row.uptime, upFor(it));
  setText(row.soon, next(it));
}

const matches = (it) => {
  const text = settings.text.toLowerCase();
  if (settings.state === "trouble" ? trouble(it) < 2 : settings.state && it.state !== settings.state) return false;
  return !text || `${it.name} ${it.group} ${sentence(it)}`.toLowerCase().includes(text);
};

function ordered() {
  const list = [...programs.values()].filter(matches);
  const sort = SORTS[settings.sort];
  list.sort((a, b) => (settings.backwards ? -1 : 1) * (sort(a, b) || byName(a.name, b.name)));
  return list;
}

/** Puts the rows in their order. Those that are in their place are not touched. */
function arrange() {
  const all = ordered();
  const pages = Math.max(1, Math.ceil(all.length / PAGE));
  settings.page = Math.min(settings.page, pages - 1);
  const list = all.slice(settings.page * PAGE, (settings.page + 1) * PAGE);
  const groups = new Map();
  for (const it of list) {
    const key = settings.group ? it[settings.group] : "";
    if (!groups.has(key)) groups.set(key, []);
    groups.get(key).push(it);
  }
  const wanted = [...groups].flatMap(([key, its]) => [...(settings.group ? [heading(key, its)] : []), ...its.map((it) => {
    const row = rows.get(it.name) ?? makeRow(it.name);
    drawRow(row, it);
    return row.element;
  })]);
  place(wanted.slice(0, Math.max(FIRST, view.body.children.length)));
  cancelAnimationFrame(view.rest);
  if (wanted.length > view.body.children.length) view.rest = requestAnimationFrame(() => requestAnimationFrame(() => place(wanted)));
  for (const [name, row] of rows) {
    if (!programs.has(name)) {
      view.seen.unobserve(row.element);
      rows.delete(name);
      picked.delete(name);
      visible.delete(name);
    }
  }
  drawPages(pages, all.length);
  drawCounts();
  keepOneStop();
}

function place(wanted) {
  const focused = document.activeElement;
  let at = view.body.firstChild;
  const keep = new Set(wanted);
  for (const element of wanted) {
    while (at && !keep.has(at)) {
      const gone = at;
      at = at.nextSibling;
      gone.remove();
    }
    if (at === element) at = at.nextSibling;
    else view.body.insertBefore(element, at);
    if (element.dataset.name) view.seen.observe(element);
  }
  while (at) {
    const gone = at;
    at = at.nextSibling;
    gone.remove();
  }
  if (focused !== document.activeElement && focused.isConnected) focused.focus({ preventScroll: true });
  keepOneStop();
}

function heading(key, its) {
  const bad = its.filter((it) => trouble(it) > 1).length;
  return h("tr", { class: "group", role: "row" }, h("th", { scope: "rowgroup", colspan: COLUMNS.length, role: "rowheader" },
    key, h("small", {}, ` ${plural(its.length, "instance")}${bad ? `, ${bad} in trouble` : ""}`)));
}

function drawCounts() {
  const counts = new Map(STATES.map((state) => [state, 0]));
  let bad = 0;
  for (const it of programs.values()) {
    counts.set(it.state, (counts.get(it.state) ?? 0) + 1);
    if (trouble(it) > 1) bad += 1;
  }
  const text = JSON.stringify([[...counts], bad, settings.state]);
  if (text === view.counted) return;
  view.counted = text;
  const focused = view.counts.contains(document.activeElement) ? document.activeElement.dataset.state : null;
  const choice = (state, label, count) => toggle([label, ` ${count}`], settings.state === state, (now) => {
    settings.state = now ? state : "";
    arrange();
  }, { data: { state } });
  put(view.counts, choice("trouble", h("b", {}, "in trouble"), bad),
    [...counts].filter(([state, count]) => count || settings.state === state).map(([state, count]) => choice(state, badge(state), count)));
  if (focused) view.counts.querySelector(`button[data-state="${focused}"]`)?.focus();
}

function drawPages(pages, count) {
  const go = (page) => h("button", { type: "button", "aria-current": page === settings.page ? "page" : undefined, onclick: () => {
    settings.page = page;
    arrange();
  } }, page + 1);
  put(view.pages, pages > 1 && ["Page ", Array.from({ length: pages }, (_, page) => go(page))],
    !count && h("p", { class: "quiet" }, programs.size ? "No program matches." : daemon.link === "live" ? "No program is configured." : ""));
}

function drawPicked() {
  const names = [...picked].filter((name) => programs.has(name));
  view.bar.hidden = !names.length;
  if (!names.length) return;
  const link = names.length <= 3 && h("a", { class: "button", href: `#/logs/${names.map(encodeURIComponent).join("/")}` }, "Logs");
  put(view.bar, h("b", {}, `${plural(names.length, "program")} selected`), buttonsFor(names), link, h("button", { type: "button", onclick: () => {
    picked.clear();
    for (const row of rows.values()) row.pick.checked = false;
    drawPicked();
  } }, "Select none"));
}

/** Of all rows, the Tab key stops at one: `j` and `k` go on from there. */
function keepOneStop() {
  const now = view.body.querySelector('a[tabindex="0"]');
  if (!now?.isConnected) setStop(view.body.querySelector("tr[data-name]"));
}
function setStop(row) {
  for (const it of view.body.querySelectorAll('[tabindex="0"]')) it.tabIndex = -1;
  row?.querySelectorAll("a, button, input").forEach((it) => { it.tabIndex = 0; });
}

/** The row with the focus, or else the first; moved by `step`. */
export function move(step) {
  const list = [...view.body.querySelectorAll("tr[data-name]")];
  const at = list.indexOf(document.activeElement?.closest("tr[data-name]"));
  const to = list[Math.max(0, Math.min(list.length - 1, at + step))];
  setStop(to);
  to?.querySelector("a").focus();
  to?.scrollIntoView({ block: "nearest" });
}

/** The name of the row with the focus. */
export const current = () => document.activeElement?.closest?.("tr[data-name]")?.dataset.name ?? null;

/** The names that an action hits: those that are selected, or else the one with the focus. */
export const targets = () => (picked.size ? [...picked] : [current()].filter(Boolean));

/** Selects the row with the focus, or no longer. */
export function pickCurrent() {
  rows.get(current())?.pick.click();
}

/** Puts the focus on a row, as when its details are left. */
export function focusRow(name) {
  const row = rows.get(name);
  if (!row?.element.isConnected) return false;
  setStop(row.element);
  row.link.focus();
  return true;
}

const head = ([label, kind]) => {
  if (!(kind in SORTS)) return h("th", { scope: "col", class: `c-${kind}`, role: "columnheader" }, label || h("span", { class: "unseen" }, kind === "pick" ? "Select" : "Actions"));
  const it = h("th", { scope: "col", class: `c-${kind}`, role: "columnheader", "aria-sort": settings.sort === kind ? "ascending" : undefined },
    h("button", { type: "button", onclick: () => {
      settings.backwards = settings.sort === kind && !settings.backwards;
      settings.sort = kind;
      for (const other of it.parentElement.children) other.removeAttribute("aria-sort");
      it.setAttribute("aria-sort", settings.backwards ? "descending" : "ascending");
      arrange();
    } }, label));
  return it;
};

function controls() {
  const filter = h("input", { id: "filter", type: "search", placeholder: "Filter", "aria-label": "Filter by text", value: settings.text,
    autocomplete: "off", "aria-keyshortcuts": "/", oninput: (event) => {
      settings.text = event.target.value;
      settings.page = 0;
      arrange();
    } });
  const group = h("select", { "aria-label": "Group", onchange: (event) => {
    settings.group = event.target.value;
    arrange();
  } }, [["", "not grouped"], ["program", "by program"], ["group", "by group"]].map(([value, text]) =>
    h("option", { value, selected: value === settings.group }, text)));
  const sort = h("select", { "aria-label": "Sort", class: "narrow", onchange: (event) => {
    settings.sort = event.target.value;
    arrange();
  } }, Object.keys(SORTS).map((value) => h("option", { value, selected: value === settings.sort }, `by ${value}`)));
  return [filter, group, sort];
}

/** Shows the table in a place; returns how to end that. */
export function show(place_) {
  rows.clear();
  visible.clear();
  sample = null;
  view = { counts: h("div", { class: "counts", role: "group", "aria-label": "Filter by state" }), pages: h("div", { class: "pages" }),
    bar: h("div", { class: "picked", hidden: true, role: "group", "aria-label": "Actions on the selected programs" }), body: h("tbody", { role: "rowgroup" }), counted: "" };
  view.seen = new IntersectionObserver((entries) => entries.forEach(({ target, isIntersecting }) => {
    if (isIntersecting) visible.add(target.dataset.name);
    else visible.delete(target.dataset.name);
  }));
  view.body.addEventListener("change", ({ target }) => {
    const { name } = target.closest("tr").dataset;
    if (target.checked) picked.add(name);
    else picked.delete(name);
    drawPicked();
  });
  view.body.addEventListener("focusin", ({ target }) => {
    if (target.tabIndex !== 0) setStop(target.closest("tr"));
  });
  put(place_, h("div", { class: "bar" }, view.counts, controls()), view.bar,
    h("table", { class: "programs", role: "table", "aria-label": "Programs" },
      h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, COLUMNS.map(head))), view.body), view.pages);
  arrange();
  drawPicked();
  const isFixed = () => !settings.text && !settings.state && !settings.group && settings.sort === "name";
  const ends = [
    on("change", (names) => {
      if (!names || !isFixed() || [...names].some((name) => !rows.has(name))) arrange();
      else for (const name of names) drawRow(rows.get(name), programs.get(name));
      drawCounts();
      if (picked.size) drawPicked();
    }),
    on("daemon", () => {
      for (const it of view.body.querySelectorAll("button.act")) it.disabled = !mayAct();
    }),
    watchRows(visible, (name, figures, restarts) => {
      const row = rows.get(name);
      if (!row || !programs.has(name)) return;
      drawFigures(row, figures);
      row.restartsInAll = restarts;
      drawRestarts(row, programs.get(name));
    }),
  ];
  const ticks = setInterval(() => {
    if (document.hidden) return;
    for (const name of visible) if (programs.has(name) && rows.has(name)) drawTimes(rows.get(name), programs.get(name));
  }, 1000);
  return () => {
    clearInterval(ticks);
    view.seen.disconnect();
    ends.forEach((end) => end());
  };
}

/** Does an action on what is chosen. */
export const actOnTargets = (verb) => {
  const names = targets().filter((name) => programs.has(name) && ACTIONS[verb].fits(programs.get(name)));
  return act(verb, names);
};
