// Returns what a person with a reader of the screen, a keyboard or weak eyes would miss in this document, one line each.
const problems = [];
const label = (it) => `<${it.tagName.toLowerCase()} class="${it.getAttribute("class") ?? ""}"> ${(it.innerText ?? it.textContent ?? "").slice(0, 40)}`;
const isSeen = (it) => it.checkVisibility({ checkOpacity: true, checkVisibilityCSS: true });
const all = (selector) => [...document.querySelectorAll(selector)].filter(isSeen);

// Names.
const nameOf = (it) => {
  const by = (it.getAttribute("aria-labelledby") ?? "").split(" ").map((id) => document.getElementById(id)?.textContent ?? "").join(" ");
  const labels = [...(it.labels ?? [])].map((one) => one.textContent).join(" ");
  return [by, it.getAttribute("aria-label"), labels, it.textContent, it.getAttribute("title")].find((text) => text?.trim())?.trim() ?? "";
};
for (const it of all("a, button, input, select, summary, textarea, dialog, [role=img], [role=group], [role=log], table, nav, fieldset")) {
  if (it.tagName === "TABLE" ? !(it.caption?.textContent || it.getAttribute("aria-label")) : !nameOf(it)) problems.push(`no name: ${label(it)}`);
}
if (!document.title) problems.push("no title");
if (document.documentElement.lang !== "en") problems.push("no language");

// Structure.
const roles = ["img", "group", "log", "status", "alert", "table", "row", "rowgroup", "cell", "columnheader", "rowheader"];
for (const it of all("[role]")) if (!roles.includes(it.getAttribute("role"))) problems.push(`unknown role: ${label(it)}`);
if (document.querySelectorAll("main").length !== 1) problems.push("not one main");
if (document.querySelectorAll("h1").length !== 1) problems.push(`not one h1: ${document.querySelectorAll("h1").length}`);
for (const it of document.querySelectorAll("th")) if (!it.scope) problems.push(`no scope: ${label(it)}`);
const ids = [...document.querySelectorAll("[id]")].map((it) => it.id);
for (const id of new Set(ids)) if (ids.filter((other) => other === id).length > 1) problems.push(`twice: #${id}`);
for (const it of document.querySelectorAll("[aria-pressed], [aria-hidden]")) {
  for (const name of ["aria-pressed", "aria-hidden"]) if (it.hasAttribute(name) && !["true", "false"].includes(it.getAttribute(name))) problems.push(`${name}: ${label(it)}`);
}
for (const it of document.querySelectorAll("[aria-hidden=true] :is(a, button, input)")) problems.push(`hidden, with a control: ${label(it)}`);
// The order of the focus is that of the document.
for (const it of document.querySelectorAll("[tabindex]")) if (it.tabIndex > 0) problems.push(`tabindex: ${label(it)}`);
// An element that scrolls by itself can be reached, or has something in it that can.
for (const it of all("pre, .lines, .scroll")) {
  const scrolls = it.scrollHeight > it.clientHeight + 1 || it.scrollWidth > it.clientWidth + 1;
  if (scrolls && it.tabIndex < 0 && !it.querySelector("a, button")) problems.push(`scrolls, without the keyboard: ${label(it)}`);
}
if (document.querySelectorAll("[aria-live=polite]").length !== 1) problems.push("not one polite live region");

// Contrast: 4.5, or 3 for large text.
const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
const rgba = (colour) => {
  canvas.clearRect(0, 0, 1, 1);
  canvas.fillStyle = colour;
  canvas.fillRect(0, 0, 1, 1);
  const [red, green, blue, alpha] = canvas.getImageData(0, 0, 1, 1).data;
  return [red, green, blue, alpha / 255];
};
const over = ([r, g, b, a], [R, G, B]) => [r * a + R * (1 - a), g * a + G * (1 - a), b * a + B * (1 - a), 1];
const ground = (it) => {
  const layers = [];
  for (let at = it; at; at = at.parentElement) layers.push(rgba(getComputedStyle(at).backgroundColor));
  return layers.reverse().reduce((below, layer) => over(layer, below), [255, 255, 255, 1]);
};
const light = (colour) => {
  const [r, g, b] = colour.map((value) => (value / 255 <= 0.03928 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
const seen = new Set();
while (texts.nextNode()) {
  const it = texts.currentNode.parentElement;
  if (!texts.currentNode.data.trim() || seen.has(it) || !isSeen(it) || it.closest(":disabled, .unseen, .skip, noscript, script, option")) continue;
  seen.add(it);
  const style = getComputedStyle(it);
  const inDrawing = it.closest("svg text");
  const below = it.closest("svg") ? ground(it.closest("svg")) : ground(it);
  const front = over(rgba(inDrawing ? style.fill : style.color), below);
  const [high, low] = [light(front), light(below)].sort((a, b) => b - a);
  const ratio = (high + 0.05) / (low + 0.05);
  const size = parseFloat(style.fontSize);
  const isLarge = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
  if (ratio < (isLarge ? 3 : 4.5)) problems.push(`contrast ${ratio.toFixed(2)}: ${label(it)}`);
}
return problems;
