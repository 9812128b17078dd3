// Elements, made of nodes and text alone: no text of a program can become markup. Nothing parses HTML here, and the
// Content-Security-Policy (Trusted Types) makes every try throw.

const SVG = "http://www.w3.org/2000/svg";

function fill(element, props, children) {
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === undefined || value === null || (value === false && !name.startsWith("aria-"))) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "data") Object.assign(element.dataset, value);
    else if (value === true && !name.startsWith("aria-")) element.setAttribute(name, "");
    else element.setAttribute(name, String(value));
  }
  append(element, children);
  return element;
}

function append(element, children) {
  for (const child of children) {
    if (Array.isArray(child)) append(element, child);
    else if (child !== undefined && child !== null && child !== false) element.append(child);
  }
}

/** An element of HTML: `h("p", { class: "note" }, "text", other)`. */
export const h = (tag, props, ...children) => fill(document.createElement(tag), props, children);

/** An element of SVG. */
export const svg = (tag, props, ...children) => fill(document.createElementNS(SVG, tag), props, children);

/** Replaces the children of an element. */
export function put(element, ...children) {
  element.replaceChildren();
  append(element, children);
  return element;
}

/** Sets a text only if it changed, so that nothing is laid out again and a selection stays. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** A button that does something. */
export const button = (label, onclick, props) => h("button", { type: "button", onclick, ...props }, label);

/** A button that stays pressed. */
export function toggle(label, pressed, onchange, props) {
  const it = button(label, () => {
    const now = it.getAttribute("aria-pressed") !== "true";
    it.setAttribute("aria-pressed", now);
    onchange(now);
  }, { class: "toggle", "aria-pressed": pressed, ...props });
  return it;
}

/** A table with these heads; a row is a list of cells, each text or nodes. */
export function table(caption, heads, rows, props) {
  return h("table", { class: "plain", ...props },
    h("caption", { class: "unseen" }, caption),
    h("thead", {}, h("tr", {}, heads.map((head) => h("th", { scope: "col" }, head)))),
    h("tbody", {}, rows.map((row) => h("tr", {}, row.map((cell, at) =>
      h(at ? "td" : "th", { scope: at ? undefined : "row", data: { head: heads[at] } }, cell))))));
}

/** Text that waits for an answer, and what is put in its place: the answer's view, or its problem. */
export function load(place, promise, view) {
  put(place, h("p", { class: "quiet" }, "Loading …"));
  promise.then((answer) => put(place, view(answer)), (problem) => put(place, failure(problem)));
}

/** A problem, as text. */
export function failure(problem) {
  const text = [problem.message, problem.hint].filter(Boolean).join(": ");
  return h("div", { class: "failure", role: "alert" }, h("p", {}, text),
    (problem.diagnostics ?? []).map((it) => h("pre", {}, it.text)));
}
