// The head of the page: which daemon this is, whether all is well, and whether what is shown is still true.

import { askShutdown } from "./actions.js";
import { help } from "./help.js";
import { button, h, put, setText } from "./dom.js";
import { logOut, session } from "./session.js";
import { trouble } from "./state.js";
import { daemon, on, programs, reconnect } from "./store.js";
import { now, plural, since, some, span, ticking } from "./text.js";

const VIEWS = [["", "Programs"], ["graph", "Graph"], ["runs", "Runs"], ["config", "Configuration"], ["daemon", "Daemon"]];

/** Shows it in a place. */
export function show(place) {
  const version = h("span", { class: "quiet" });
  const ready = h("p", { class: "ready" });
  const link = h("p", { class: "link", role: "status" });
  const nav = h("nav", { "aria-label": "Views" }, VIEWS.map(([view, text]) => h("a", { href: `#/${view}`, data: { view } }, text)));
  const menu = h("details", { class: "menu" }, h("summary", {}, "Menu"), h("div", {},
    h("p", { class: "quiet" }, session.by ? `${session.by}, ` : "", `role ${session.role}`),
    button("Keyboard", help),
    session.isSession && button("Log out", async () => { await logOut().catch(() => {}); location.reload(); }),
    session.mayAdmin && button("Shut down …", askShutdown, { class: "danger" })));
  menu.addEventListener("click", (event) => { if (event.target.closest("button")) menu.open = false; });
  menu.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !menu.open) return;
    event.stopPropagation();
    menu.open = false;
    menu.firstChild.focus();
  });
  menu.addEventListener("focusout", (event) => { if (event.relatedTarget && !menu.contains(event.relatedTarget)) menu.open = false; });
  put(place, h("div", { class: "brand" }, h("b", {}, location.host || "musterd"), version), nav, ready, link, menu,
    !session.isEncrypted && session.isSession && h("p", { class: "warning" }, "not encrypted"));

  const icon = document.querySelector('link[rel="icon"]');
  let drawn = "";
  function drawIcon(bad) {
    const kind = daemon.link !== "live" ? "gone" : bad ? "bad" : "well";
    setTitle(bad);
    if (drawn === kind) return;
    drawn = kind;
    const shape = { well: '<circle cx="8" cy="8" r="6" fill="%232e7d32"/>', bad: '<path d="M8 1l7 14H1z" fill="%23c62828"/>', gone: '<circle cx="8" cy="8" r="5" fill="none" stroke="%23888" stroke-width="3"/>' }[kind];
    icon.href = `data:image/svg+xml,<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16">${shape}</svg>`;
  }
  const setTitle = (bad) => {
    const title = `${bad ? `(${bad}) ` : ""}${location.host} – musterd`;
    if (document.title !== title) document.title = title;
  };

  function draw() {
    const { info } = daemon;
    setText(version, info ? `musterd ${info.version}, up ${ticking(since(info.started_at))}` : "");
    const bad = [...programs.values()].filter((it) => trouble(it) > 1);
    const failing = daemon.sources.filter((it) => it.state !== "active");
    ready.dataset.ready = daemon.ready?.ready ?? "";
    const words = [];
    if (info?.state === "stopping") words.push("shutting down");
    else if (daemon.ready?.ready) words.push("Ready");
    else if (daemon.ready) words.push(`Not ready: ${some(daemon.ready.missing.map((it) => it.name), 2) || "a source is not active"}`);
    if (failing.length) words.push(`${some(failing.map((it) => `source ${it.name} is ${it.state}`), 2)}`);
    setText(ready, words.join("; "));
    ready.title = daemon.ready?.missing?.map((it) => `${it.name}: ${it.reason}`).join("\n") ?? "";
    drawIcon(bad.length);
    drawLink();
  }

  function drawLink() {
    document.body.dataset.link = daemon.link;
    link.dataset.link = daemon.link;
    if (daemon.link === "live") return setText(link, "live");
    if (daemon.link === "waiting") return setText(link, "connecting …");
    const age = (now() - daemon.lastHeard) / 1000;
    const why = daemon.problem ? `: ${daemon.problem.message}` : "";
    // Said once; the seconds are for the eyes alone.
    const text = `no connection${why}`;
    if (link.firstChild?.data !== text) {
      put(link, text, h("span", { "aria-hidden": "true" }), " ", button("Retry", reconnect, { class: "link" }));
    }
    return setText(link.children[0], `, shown is ${age < 5 ? "a moment" : span(Math.round(age))} old`);
  }
  on("daemon", draw);
  let soon = 0;
  on("change", () => { soon ||= setTimeout(() => { soon = 0; draw(); }, 250); });
  setInterval(() => { if (!document.hidden) draw(); }, 1000);
  draw();
}

/** Marks the view that is shown. */
export function mark(view) {
  for (const it of document.querySelectorAll("header nav a")) {
    const isNow = it.dataset.view === (view === "program" || view === "logs" ? "" : view);
    if (isNow) it.setAttribute("aria-current", "page");
    else it.removeAttribute("aria-current");
  }
}

/** How many programs are in trouble, as a sentence for readers of the screen. */
export const overview = () => {
  const bad = [...programs.values()].filter((it) => trouble(it) > 1);
  return `${plural(programs.size, "program")}${bad.length ? `, in trouble: ${some(bad.map((it) => it.name))}` : ", none in trouble"}`;
};
