// Dialogs, and short messages. A dialog says whom its action hits before it does it.

import { button, failure, h, put } from "./dom.js";

let count = 0;

/**
 * Shows a dialog. `body` are nodes; `actions` are `[label, does, kind]`: the dialog stays, with the problem, if `does` fails.
 * The focus begins at the first field, or else at Cancel, and returns to where it was.
 */
export function dialog(title, body, actions) {
  const before = document.activeElement;
  const id = `dialog-${(count += 1)}`;
  const problem = h("div", { role: "status" });
  const box = h("dialog", { "aria-labelledby": id });
  const run = (does) => async (event) => {
    event?.preventDefault();
    const buttons = box.querySelectorAll("footer button");
    buttons.forEach((it) => { it.disabled = true; });
    try {
      await does(new FormData(form));
      box.close();
    } catch (error) {
      put(problem, failure(error));
      buttons.forEach((it) => { it.disabled = false; });
    }
  };
  const cancel = button(actions.length ? "Cancel" : "Close", () => box.close());
  const form = h("form", { onsubmit: actions.length ? run(actions[0][1]) : (event) => event.preventDefault() },
    h("h2", { id }, title), body, problem,
    h("footer", {}, cancel, actions.map(([label, does, kind], at) =>
      h("button", { type: at ? "button" : "submit", class: kind, onclick: at ? run(does) : undefined }, label))));
  box.append(form);
  box.addEventListener("close", () => {
    box.remove();
    if (before?.isConnected) before.focus();
  });
  box.addEventListener("click", (event) => { if (event.target === box) box.close(); });
  document.body.append(box);
  box.showModal();
  (form.querySelector("input, select") ?? cancel).focus();
  return box;
}

const notes = () => document.getElementById("notes");

/** Shows a message for some seconds; one about a failure stays until it is closed. */
export function note(text, isFailure = false) {
  const it = h("div", { class: isFailure ? "note bad" : "note", role: isFailure ? "alert" : "status" }, h("p", {}, text),
    button("×", () => it.remove(), { "aria-label": "Close this message", class: "plain" }));
  notes().append(it);
  while (notes().children.length > 4) notes().firstChild.remove();
  if (!isFailure) setTimeout(() => it.remove(), 6000);
}

let saidAt = 0;
let unsaid = [];
let saying = 0;
const PACE = 1000;

/** Says something to readers of the screen: at most one sentence a second, the rest as a number. */
export function announce(text) {
  unsaid.push(text);
  saying ||= setTimeout(() => {
    const [first, ...others] = unsaid;
    unsaid = [];
    saying = 0;
    saidAt = performance.now();
    document.getElementById("live").textContent = others.length ? `${first}, and ${others.length} more` : first;
  }, Math.max(0, saidAt + PACE - performance.now()));
}
