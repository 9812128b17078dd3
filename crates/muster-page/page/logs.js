// Output: the last lines and those that follow, of one program or a few together. Keeps 10 000 lines.

import { entries, named } from "./api.js";
import { announce, note } from "./dialog.js";
import { button, failure, h, put, setText, toggle } from "./dom.js";
import { finder } from "./find.js";
import { styled } from "./sgr.js";
import { daemon, on } from "./store.js";
import { bytes, plural, time } from "./text.js";

const KEPT = 10_000;
const FIRST = 500;
// A line that does not end is cut for the screen; the download has all of it.
const LONGEST = 64 * 1024;
const options = { times: true, wrap: true };

/** The log of an instance. */
export const ofProgram = (name) => ({ name, path: named(name, "/logs") });

/** The daemon's own log. */
export const OWN = { name: "musterd", path: "/v1/logs" };

/** Shows logs in a place; returns how to end that. */
export function show(place, sources) {
  const list = h("div", { class: "lines", role: "log", "aria-live": "off", "aria-label": `Output of ${sources.map((it) => it.name).join(", ")}`, tabindex: 0 });
  const more = button("", () => toEnd(), { class: "more", hidden: true });
  const problem = h("div");
  // Lines that a filter hid or shows again leave the end at another place.
  const find = finder(list, () => { if (isFollowing) toEnd(); });
  const over = new AbortController();
  const isSeveral = sources.length > 1;
  let isFollowing = true;
  let missed = 0;
  let stream = "both";
  let waiting = [];
  let frame = 0;
  const ends = new Map();

  const pause = toggle("Pause", false, (now) => (now ? stay() : toEnd()), { "aria-keyshortcuts": "p" });
  const streams = h("select", { "aria-label": "Stream", onchange: (event) => {
    stream = event.target.value;
    list.dataset.stream = stream;
    find.again();
  } }, ["both", "stdout", "stderr"].map((value) => h("option", { value }, value)));
  const option = (label, name) => toggle(label, options[name], (now) => {
    options[name] = now;
    list.classList.toggle(name, now);
    if (isFollowing) toEnd();
  });
  list.classList.toggle("times", options.times);
  list.classList.toggle("wrap", options.wrap);
  list.classList.toggle("own", sources[0] === OWN);

  put(place, h("div", { class: "logs" },
    h("div", { class: "bar", role: "group", "aria-label": "Log" }, find.controls, sources[0] !== OWN && streams, sources[0] !== OWN && option("Times", "times"), option("Wrap", "wrap"), pause,
      button("Copy", copy), button("Download", download)),
    problem, list, more));

  function stay() {
    isFollowing = false;
    pause.setAttribute("aria-pressed", "true");
  }
  function toEnd() {
    isFollowing = true;
    missed = 0;
    more.hidden = true;
    pause.setAttribute("aria-pressed", "false");
    list.scrollTop = list.scrollHeight;
  }
  list.addEventListener("scroll", () => {
    const isAtEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 30;
    if (isAtEnd && !isFollowing) toEnd();
    else if (!isAtEnd && isFollowing && !frame) stay();
  });
  // Keys and wheels scroll up at once, whatever is being added.
  list.addEventListener("wheel", (event) => { if (event.deltaY < 0) stay(); }, { passive: true });

  const texts = () => [...list.children].filter((it) => it.checkVisibility?.() ?? true).map((it) => it.textContent).join("\n");
  async function copy() {
    try {
      await navigator.clipboard.writeText(texts());
      note(`copied ${plural(list.children.length, "line")}`);
    } catch {
      getSelection().selectAllChildren(list);
      note("selected: copy it with the keyboard, since this page is not on a secure address");
    }
  }
  function download() {
    for (const { name, path } of sources) {
      const link = h("a", { href: `${path}?lines=1000000`, download: `${name.replace(/[^\w.-]/g, "_")}.log` });
      document.body.append(link);
      link.click();
      link.remove();
    }
  }

  const separator = (...words) => h("div", { class: "separator" }, words);

  function lineOf(entry) {
    const key = `${entry.program} ${entry.stream}`;
    const before = ends.get(key);
    if (before && !before.ended && before.run === entry.run) {
      before.length += entry.line.length;
      before.ended = entry.ended;
      if (before.length <= LONGEST) before.text.append(...styled(entry.line));
      else if (!before.note) before.text.append(before.note = h("em", {}, " … the line goes on"));
      return [];
    }
    const nodes = [];
    if (before && entry.run !== before.run && entry.run !== null) {
      nodes.push(separator(`${isSeveral ? `${entry.program}: ` : ""}run ${entry.run}, from `, time(entry.time)));
    }
    const text = h("span", { class: "text" }, styled(entry.line.slice(0, LONGEST)));
    const line = h("div", { class: "line", data: { stream: entry.stream ?? "" } },
      h("span", { class: "when" }, entry.time ? time(entry.time, true) : ""),
      isSeveral && h("span", { class: "who", data: { at: sources.findIndex((it) => it.name === entry.program) } }, entry.program),
      entry.hook && h("span", { class: "who" }, entry.hook), text);
    ends.set(key, { ended: entry.ended, run: entry.run, length: entry.line.length, text });
    // A program's first run here begins without a separator.
    for (const [other, it] of ends) if (other.startsWith(`${entry.program} `) && entry.run !== null) it.run = entry.run;
    find.mark(line);
    return [...nodes, line];
  }

  function add(batch) {
    waiting.push(...batch);
    if (waiting.length > KEPT) waiting = waiting.slice(-KEPT);
    frame ||= requestAnimationFrame(() => {
      const nodes = waiting.flatMap((it) => (it.kind === "missed" ? [separator(`${bytes(it.missed)} are missing here`)]
        : it.kind === "line" ? lineOf(it) : [it.node].filter(Boolean)));
      waiting = [];
      list.append(...nodes);
      while (list.children.length > KEPT) list.firstChild.remove();
      if (isFollowing) list.scrollTop = list.scrollHeight;
      else if (nodes.length) {
        missed += nodes.length;
        more.hidden = false;
        setText(more, `${plural(missed, "new line")} ↓`);
      }
      find.count();
      // Scroll events of this change come before the next frames. A line that is drawn for the first time may be higher than expected.
      settleIn(2);
    });
  }

  const settleIn = (frames) => requestAnimationFrame(() => {
    if (isFollowing) list.scrollTop = list.scrollHeight;
    if (frames > 1) {
      settleIn(frames - 1);
      return;
    }
    frame = 0;
    if (waiting.length) add([]);
  });

  // The backlogs of several programs are sorted by time; after that, lines come as they are read.
  let backlogs = sources.map(() => []);
  const isRead = sources.map(() => false);
  function backlogIsRead(at) {
    isRead[at] = true;
    if (!backlogs || isRead.includes(false)) return;
    const all = backlogs.flat();
    if (isSeveral) all.sort((a, b) => (a.time ?? "").localeCompare(b.time ?? ""));
    backlogs = null;
    add(all);
    if (!all.length) add([{ node: separator("no output yet") }]);
  }

  async function read({ path, name }, at) {
    // The time of the last line, and how many lines have it.
    let last = null;
    let atLast = 0;
    while (!over.signal.aborted) {
      // Lines of the last millisecond before the connection was lost come again.
      const known = last;
      let again = atLast;
      const isNew = (it) => it.kind !== "line" || !it.time || it.time > known || (it.time === known && (again -= 1) < 0);
      try {
        const from = last ? `since=${encodeURIComponent(last)}` : `lines=${FIRST}`;
        for await (const batch of entries(`${path}?format=json&follow=true&${from}`, { signal: over.signal })) {
          const mine = known ? batch.filter(isNew) : batch;
          const isLive = batch.some((it) => it.kind === "live");
          // The path has the name as a selection; an entry repeats that.
          const lines = mine.filter((it) => it.kind !== "live").map((it) => ({ ...it, program: name }));
          if (backlogs) backlogs[at].push(...lines);
          else add(lines);
          if (isLive) backlogIsRead(at);
          for (const { kind, time: at_ } of mine) {
            if (kind !== "line" || !at_) continue;
            atLast = at_ === last ? atLast + 1 : 1;
            last = at_;
          }
        }
      } catch (error) {
        if (over.signal.aborted) return;
        if (error.status) {
          put(problem, failure(error));
          if (error.status !== 503) return;
        }
      }
      backlogIsRead(at);
      if (!over.signal.aborted) await isLiveAgain();
      put(problem);
    }
  }
  const isLiveAgain = () => new Promise((done) => {
    const check = () => {
      if (daemon.link !== "live" && !over.signal.aborted) return;
      end();
      setTimeout(done, 500);
    };
    const end = on("daemon", check);
    setTimeout(check, 500);
  });
  sources.forEach(read);
  announce(`output of ${sources.map((it) => it.name).join(", ")}`);
  const keys = (event) => {
    if (event.key === "p" && !event.target.closest("input, select, dialog")) pause.click();
  };
  document.addEventListener("keydown", keys);
  return () => {
    over.abort();
    find.end();
    document.removeEventListener("keydown", keys);
  };
}
