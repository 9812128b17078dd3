// Numbers and times as text. Times are the reader's; the title of an element has them in UTC.

import { h } from "./dom.js";

// How far the daemon's clock is ahead of this one, in milliseconds.
let ahead = 0;

/** Learns the daemon's clock from a time that it has just sent. */
export const learnClock = (at) => { ahead = Date.parse(at) - Date.now(); };

/** The daemon's time now, in milliseconds. */
export const now = () => Date.now() + ahead;

/** A time span in at most two units: `850 ms`, `4 s`, `3 m 20 s`, `5 d 2 h`. */
export function span(seconds) {
  if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) return "";
  if (seconds < 0) return `−${span(-seconds)}`;
  if (seconds > 0 && seconds < 0.9995) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 10 && seconds % 1 > 0.05) return `${seconds.toFixed(1)} s`;
  const all = Math.round(seconds);
  if (all < 60) return `${all} s`;
  const [big, small, unit, less] = all < 3600 ? [60, 1, "m", "s"] : all < 86400 ? [3600, 60, "h", "m"] : [86400, 3600, "d", "h"];
  const rest = Math.floor((all % big) / small);
  return `${Math.floor(all / big)} ${unit}${rest ? ` ${rest} ${less}` : ""}`;
}

/** A time span of whole seconds, for what is counted up or down on the screen. */
export const ticking = (seconds) => span(Math.max(0, Math.round(seconds)));

/** Seconds since a time of the daemon's. */
export const since = (at) => (now() - Date.parse(at)) / 1000;

/** Bytes: `512 kB`, `1.4 GB`; 1024-based, as in the configuration. */
export function bytes(count) {
  if (count === null || count === undefined) return "";
  let unit = 0;
  while (count >= 999.5 && unit < 4) { count /= 1024; unit += 1; }
  return `${count < 10 && unit ? count.toFixed(1) : Math.round(count)} ${["B", "kB", "MB", "GB", "TB"][unit]}`;
}

export const plural = (count, one, many = `${one}s`) => `${count.toLocaleString("en")} ${count === 1 ? one : many}`;

const pad = (number, width = 2) => String(number).padStart(width, "0");

/** The local time of day, with the date unless it is today's. */
export function clock(at, withMillis = false) {
  const date = new Date(at);
  const day = date.toDateString() === new Date(now()).toDateString()
    ? "" : `${date.getFullYear()}-${pad(date.getMonth() + 1)}-${pad(date.getDate())} `;
  const time = `${pad(date.getHours())}:${pad(date.getMinutes())}:${pad(date.getSeconds())}`;
  return day + time + (withMillis ? `.${pad(date.getMilliseconds(), 3)}` : "");
}

/** A time, local, with UTC for those who ask for it. */
export const time = (at, withMillis) =>
  at ? h("time", { datetime: new Date(at).toISOString(), title: `${new Date(at).toISOString()} (UTC)` }, clock(at, withMillis)) : "";

/** A list in a sentence: `a, b and 4 more`. */
export function some(names, most = 3) {
  if (names.length <= most) return names.length < 2 ? names.join("") : `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`;
  return `${names.slice(0, most).join(", ")} and ${names.length - most} more`;
}

/** A sentence of the daemon's, with its times as those of the reader. */
export const withTimes = (text) => text.split(/(\d{4}-\d\d-\d\dT[\d:.]+Z)/).map((part, at) => (at % 2 ? time(part, true) : part));
