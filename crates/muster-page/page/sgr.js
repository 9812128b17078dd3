// A line of output as nodes: colours of SGR sequences are kept, all other escape sequences are dropped, and characters that would
// not be seen, or would reorder others, are shown by their names.

import { h } from "./dom.js";

// CSI; OSC, DCS and other strings; two characters. Each alternative ends at the next ESC, so the time is linear.
const ESCAPES = /(?:\x1b\[|\x9b)([0-?]*)[ -/]*([@-~])|\x1b[\]PX^_][^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?|\x1b[ -/]*[0-~]?/g;
const HIDDEN = /[\x00-\x08\x0a-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/;
const HIDDEN_PARTS = /([\x00-\x08\x0a-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]+)/;

const nameOf = (character) => {
  const code = character.codePointAt(0);
  if (code < 0x20) return String.fromCharCode(0x2400 + code);
  return code === 0x7f ? "\u2421" : `<${code.toString(16).toUpperCase().padStart(4, "0")}>`;
};

/** Nodes of a text, with its hidden characters by their names. */
export function plain(text) {
  if (!HIDDEN.test(text)) return [text];
  return text.split(HIDDEN_PARTS).map((part, at) => (at % 2 ? h("span", { class: "hidden-character" }, [...part].map(nameOf).join("")) : part));
}

/** The nearest of the 16 colours that have a contrast here. */
function nearest(red, green, blue) {
  const most = Math.max(red, green, blue);
  if (most < 60) return 8;
  const bit = (value) => (value > most * 0.6 ? 1 : 0);
  const colour = bit(red) | (bit(green) << 1) | (bit(blue) << 2);
  return colour === 7 ? (most > 180 ? 15 : 7) : colour + (most > 200 ? 8 : 0);
}

function indexed(number) {
  if (number < 16) return number;
  if (number >= 232) return number < 240 ? 8 : 7;
  const cube = number - 16;
  return nearest(Math.floor(cube / 36) * 51, (Math.floor(cube / 6) % 6) * 51, (cube % 6) * 51);
}

/** Applies the numbers of one SGR sequence to a style. */
function restyle(style, parameters) {
  const numbers = parameters.split(/[;:]/).map(Number);
  for (let at = 0; at < numbers.length; at += 1) {
    const code = numbers[at];
    if (code === 0) Object.assign(style, { colour: null, bold: false, dim: false, underlined: false });
    else if (code === 1) style.bold = true;
    else if (code === 2) style.dim = true;
    else if (code === 4) style.underlined = true;
    else if (code === 22) style.bold = style.dim = false;
    else if (code === 24) style.underlined = false;
    else if (code >= 30 && code <= 37) style.colour = code - 30;
    else if (code >= 90 && code <= 97) style.colour = code - 82;
    else if (code === 39) style.colour = null;
    else if (code === 38 || code === 48) {
      const isIndexed = numbers[at + 1] === 5;
      const colour = isIndexed ? indexed(numbers[at + 2] ?? 7) : nearest(numbers[at + 2], numbers[at + 3], numbers[at + 4]);
      if (code === 38) style.colour = colour;
      at += isIndexed ? 2 : 4;
    }
  }
}

/** Nodes of a line of output. */
export function styled(line) {
  const text = line.endsWith("\r") ? line.slice(0, -1) : line;
  if (!HIDDEN.test(text)) return [text];
  const style = { colour: null, bold: false, dim: false, underlined: false };
  const nodes = [];
  const add = (part) => {
    if (!part) return;
    const classes = [style.colour !== null && `sgr${style.colour}`, style.bold && "bold", style.dim && "dim", style.underlined && "underlined"].filter(Boolean);
    if (classes.length) nodes.push(h("span", { class: classes.join(" ") }, plain(part)));
    else nodes.push(...plain(part));
  };
  let from = 0;
  for (const found of text.matchAll(ESCAPES)) {
    add(text.slice(from, found.index));
    if (found[2] === "m") restyle(style, found[1]);
    from = found.index + found[0].length;
  }
  add(text.slice(from));
  return nodes;
}
