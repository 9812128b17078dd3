// The active configuration, read once and again when another one becomes active: what depends on what, and how long stopping takes.

import { get } from "./api.js";
import { on, programs } from "./store.js";

let reading = null;
on("event", (event) => { if (event.kind === "configured") reading = null; });

/** The configuration, as the API has it. */
export function configuration() {
  reading ??= get("/v1/config").catch((problem) => { reading = null; throw problem; });
  return reading;
}

/** `10`, `"500ms"`, `"1h30m"` in seconds. */
export function seconds(value, otherwise) {
  if (typeof value === "number") return value;
  if (typeof value !== "string") return otherwise;
  const units = { ms: 0.001, s: 1, m: 60, h: 3600, d: 86400 };
  let all = 0;
  for (const [, number, unit] of value.matchAll(/([\d.]+)\s*(ms|s|m|h|d)?/g)) all += Number(number) * units[unit ?? "s"];
  return all;
}

/** The programs that `depends_on` names, each with its condition. */
export function dependencies(keys) {
  const value = keys?.depends_on ?? [];
  return Array.isArray(value) ? value.map((name) => [name, "started"]) : Object.entries(value);
}

/** The settings of each program by its name: those of its first instance, and its instances. */
export async function byProgram() {
  const { programs: settings } = await configuration();
  const all = new Map();
  for (const it of programs.values()) {
    const known = all.get(it.program);
    if (known) known.instances.push(it);
    else all.set(it.program, { name: it.program, keys: settings?.[it.name] ?? {}, instances: [it] });
  }
  return all;
}

const stops = (keys) => {
  const waits = [keys.stopwaitsecs ?? 10].flat();
  const hook = keys.pre_stop ? seconds(keys.pre_stop.timeout, 5) : 0;
  return waits.reduce((sum, wait) => sum + seconds(wait, 10), hook);
};

/** The consequences of stopping these instances: who depends on them, who restarts with them, and for how long it may last. */
export async function consequences(names) {
  const hit = new Set(names);
  const all = await byProgram();
  const programsHit = new Set([...all.values()].filter((it) => it.instances.some((one) => hit.has(one.name))).map((it) => it.name));
  const others = [...all.values()].filter((it) => !programsHit.has(it.name));
  const dependents = others.filter((it) => dependencies(it.keys).some(([name]) => programsHit.has(name))).map((it) => it.name);
  const followers = others.filter((it) => (it.keys.restart_with ?? []).some((name) => programsHit.has(name))).map((it) => it.name);
  // One priority after another, and dependents before what they depend on: at worst the waits of all steps add up.
  const waits = new Map();
  for (const program of all.values()) {
    const isHit = program.instances.some((one) => hit.has(one.name) && one.pid !== null);
    const priority = program.keys.priority ?? 999;
    if (isHit) waits.set(priority, Math.max(waits.get(priority) ?? 0, stops(program.keys)));
  }
  const longest = [...waits.values()].reduce((sum, wait) => sum + wait, 0);
  const essential = [...all.values()].filter((it) => programsHit.has(it.name) && it.keys.essential).map((it) => it.name);
  return { dependents, followers, longest, essential };
}
