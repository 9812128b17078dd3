// Finds text in lines: counts and marks what matches, goes from one to the next, and can hide the rest. Marks are highlights of the
// browser, so that no line is changed by looking for something.

import { button, h, setText, toggle } from "./dom.js";

const MOST_MARKS = 5000;

/** Controls that find in the children of `list`, and what its owner calls; `settle` is called once other lines are hidden. */
export function finder(list, settle) {
  let pattern = null;
  let isRegex = false;
  let isFilter = false;
  let at = -1;
  const total = h("span", { class: "found", role: "status" });
  const input = h("input", { type: "search", id: "filter", placeholder: "Find", "aria-label": "Find in the output", autocomplete: "off", "aria-keyshortcuts": "/",
    oninput: again, onkeydown: (event) => {
      if (event.key === "Enter") {
        event.preventDefault();
        go(event.shiftKey ? -1 : 1);
      }
    } });
  const can = typeof Highlight === "function" && CSS.highlights;
  const marks = can ? new Highlight() : null;
  const current = can ? new Highlight() : null;
  if (can) {
    CSS.highlights.set("found", marks);
    CSS.highlights.set("found-now", current);
    current.priority = 1;
  }

  function compile() {
    input.removeAttribute("aria-invalid");
    if (!input.value) return null;
    try {
      return new RegExp(isRegex ? input.value : input.value.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"), "giu");
    } catch {
      input.setAttribute("aria-invalid", "true");
      return null;
    }
  }

  /** Marks a line if it matches. */
  function mark(line) {
    const text = line.querySelector(".text");
    const isFound = Boolean(pattern && text && text.textContent.search(pattern) >= 0);
    line.classList.toggle("hit", isFound);
    if (!isFound || !can || marks.size >= MOST_MARKS) return;
    const nodes = document.createTreeWalker(text, NodeFilter.SHOW_TEXT);
    while (nodes.nextNode()) {
      for (const found of nodes.currentNode.data.matchAll(pattern)) {
        if (!found[0] || marks.size >= MOST_MARKS) continue;
        const range = document.createRange();
        range.setStart(nodes.currentNode, found.index);
        range.setEnd(nodes.currentNode, found.index + found[0].length);
        marks.add(range);
      }
    }
  }

  const hits = () => [...list.getElementsByClassName("hit")].filter((it) => it.isConnected);

  function count() {
    list.classList.toggle("filtered", isFilter && Boolean(pattern));
    if (!pattern) return setText(total, "");
    const all = list.getElementsByClassName("hit").length;
    return setText(total, at >= 0 && at < all ? `${at + 1} of ${all}` : `${all} found`);
  }

  function again() {
    pattern = compile();
    steps.hidden = !pattern;
    at = -1;
    marks?.clear();
    current?.clear();
    for (const line of list.getElementsByClassName("line")) mark(line);
    count();
    settle();
  }

  function go(step) {
    const all = hits();
    if (!all.length) return;
    at = at < 0 && step < 0 ? all.length - 1 : (at + step + all.length) % all.length;
    all[at].scrollIntoView({ block: "center" });
    if (can) {
      current.clear();
      const range = document.createRange();
      range.selectNodeContents(all[at].querySelector(".text"));
      current.add(range);
    }
    count();
  }

  const steps = h("span", { class: "bar steps", hidden: true }, button("↑", () => go(-1), { "aria-label": "Previous match" }), button("↓", () => go(1), { "aria-label": "Next match" }),
    toggle("Only these", false, (now) => { isFilter = now; count(); settle(); }));
  const controls = [input, total, toggle(".*", false, (now) => { isRegex = now; again(); }, { "aria-label": "Regular expression", title: "Regular expression" }), steps];
  return { controls, mark, count, again, end() {
    CSS.highlights?.delete("found");
    CSS.highlights?.delete("found-now");
  } };
}
