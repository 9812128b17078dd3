// The keys, and a switch for them: a reader of the screen or a voice may use the same ones.

import { dialog } from "./dialog.js";
import { h } from "./dom.js";

export const keyboard = { isOn: true };

const KEYS = [
  ["/", "filter or find"], ["j, k", "next and previous row"], ["Space", "select the row"], ["Enter", "open the row"], ["Esc", "back, or close"],
  ["s", "start"], ["x", "stop"], ["r", "restart"], ["R", "reload"], ["S", "send a signal"], ["+", "scale"],
  ["w", "why"], ["l", "logs"], ["u", "runs"], ["i", "what if"], ["p", "pause the log"],
  ["h", "programs"], ["g", "graph"], ["t", "all runs over time"], ["c", "configuration"], ["d", "daemon"], ["?", "these keys"],
  ["+ − ← → 0", "zoom and move in a chart with the focus"], ["← → ↑ ↓", "go along the graph"],
];

export function help() {
  dialog("Keyboard", [
    h("dl", { class: "keys" }, KEYS.map(([key, text]) => [h("dt", {}, key.split(" ").map((one, at) => [at ? " " : "", h("kbd", {}, one.replace(",", ""))])), h("dd", {}, text)])),
    h("label", {}, h("input", { type: "checkbox", checked: keyboard.isOn, onchange: (event) => { keyboard.isOn = event.target.checked; } }), "keys of one letter do something"),
  ], []);
}
