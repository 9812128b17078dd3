// The instances of the daemon, from a snapshot and the changes after it. An event says what changed at once; the
// other fields of that instance are read again, for many instances in one request and at most once a second.

import { events, get, selection } from "./api.js";
import { learnClock, now } from "./text.js";

/** Every instance by its name, as the API has it. */
export const programs = new Map();

/** The last events, for those who look at them. */
export const recent = [];
const RECENT = 500;

/** `info`: the daemon itself; `link`: `waiting`, `live` or `lost`; `lastHeard`: when the daemon last sent something. */
export const daemon = { info: null, ready: null, sources: [], link: "waiting", lastHeard: 0, problem: null };

const watchers = { change: new Set(), event: new Set(), daemon: new Set() };

/** Calls back: `change` with the names that changed (null: all), `event` with an event, `daemon`. Returns how to end it. */
export function on(kind, does) {
  watchers[kind].add(does);
  return () => watchers[kind].delete(does);
}
const call = (kind, ...what) => watchers[kind].forEach((does) => does(...what));

// Changes are shown once a frame, so that a thousand of them are one layout.
let changed = new Set();
let isAll = false;
let frame = 0;
function show(names) {
  if (names) names.forEach((name) => changed.add(name));
  else isAll = true;
  frame ||= requestAnimationFrame(() => {
    const these = isAll ? null : changed;
    changed = new Set();
    isAll = false;
    frame = 0;
    call("change", these);
  });
}

// Instances whose other fields are old.
let stale = new Set();
let rereading = 0;
const REREAD_SOON = 60;
const REREAD_PAUSE = 1000;
const REREAD_ALL = 100;
let lastReread = 0;
function reread(name) {
  stale.add(name);
  rereading ||= setTimeout(readStale, Math.max(REREAD_SOON, lastReread + REREAD_PAUSE - performance.now()));
}
async function readStale() {
  const names = [...stale].filter((name) => programs.has(name));
  stale = new Set();
  lastReread = performance.now();
  try {
    const isMany = names.length > REREAD_ALL || names.some((name) => name.includes(","));
    const read = names.length ? await get(isMany ? "/v1/programs" : `/v1/programs?select=${encodeURIComponent(selection(names))}`) : [];
    // One that has changed again meanwhile is read once more: this answer may be older than its last event.
    take(read.filter((program) => !stale.has(program.name)));
    await readDaemon();
  } catch {
    // The next snapshot has everything.
  }
  rereading = 0;
  if (stale.size) reread(stale.values().next().value);
}
function take(list) {
  for (const program of list) programs.set(program.name, program);
  show(list.map((program) => program.name));
}

async function readAll() {
  const list = await get("/v1/programs").catch(() => null);
  if (!list) return;
  programs.clear();
  for (const program of list) programs.set(program.name, program);
  show(null);
}

/** Reads what is known of the daemon itself. */
export async function readDaemon() {
  const [info, ready] = await Promise.all([get("/v1/info"), fetch("/readyz", { cache: "no-store" }).then((it) => it.json())]);
  Object.assign(daemon, { info, ready, sources: ready?.sources ?? [] });
  call("daemon");
}

/** The changes that an event makes to an instance at once. */
const APPLY = {
  state(program, event) {
    const isNew = event.run !== program.run;
    Object.assign(program, { state: event.to, run: event.run ?? program.run, pid: event.pid, phase: null });
    if (isNew || event.to === "STARTING") Object.assign(program, { started_at: event.at, ready: program.ready === null ? null : false });
    if (!["STARTING", "RUNNING", "STOPPING"].includes(event.to)) Object.assign(program, { pid: null, started_at: null });
    if (event.to !== "BACKOFF" && event.to !== "WAITING") program.next_start_at = null;
    if (event.to !== "WAITING") Object.assign(program, { waiting_for: [], waits_in_vain: false });
    program.description = "";
    program.changed_at = event.at;
  },
  ended(program, event) {
    program.exit = event.exit;
  },
  retry(program, event) {
    program.next_start_at = new Date(Date.parse(event.at) + event.delay * 1000).toISOString();
    program.failures = event.attempt;
  },
  ready(program, event) {
    program.ready = event.ready;
  },
  health(program, event) {
    program.health = event.health;
  },
  rolling() {},
  hook() {},
  waiting() {},
  skipped() {},
};

function apply(event) {
  if (event.kind === "snapshot") {
    programs.clear();
    for (const program of event.programs) programs.set(program.name, program);
    learnClock(event.at);
    show(null);
    return;
  }
  recent.push(event);
  if (recent.length > RECENT) recent.shift();
  if (event.kind === "configured") readAll();
  const program = programs.get(event.name);
  if (program && APPLY[event.kind]) {
    APPLY[event.kind](program, event);
    show([event.name]);
    reread(event.name);
  }
  call("event", event);
}

function setLink(link, problem = null) {
  Object.assign(daemon, { link, problem });
  call("daemon");
}

// A daemon that sends nothing for so long is gone: it sends a comment every 30 s.
const SILENCE = 45_000;
const FIRST_PAUSE = 250;
const LONGEST_PAUSE = 1500;
// Browsers have six connections for all tabs of a host: a hidden one gives up its own.
const UNSEEN = 20_000;
let last = null;
let stop = null;

/** Follows the events until the page is closed, through restarts of the daemon. */
export async function follow() {
  let pause = FIRST_PAUSE;
  for (;;) {
    await untilSeen();
    stop = new AbortController();
    let watchdog = 0;
    const alive = () => {
      daemon.lastHeard = now();
      clearTimeout(watchdog);
      watchdog = setTimeout(() => stop.abort(), SILENCE);
    };
    try {
      alive();
      for await (const batch of events(last, { signal: stop.signal })) {
        alive();
        pause = FIRST_PAUSE;
        for (const event of batch) {
          last = event.id;
          apply(event);
        }
        if (daemon.link !== "live") {
          setLink("live");
          readDaemon().catch(() => {});
        }
      }
      setLink("lost");
    } catch (problem) {
      setLink("lost", problem.status ? problem : null);
    }
    clearTimeout(watchdog);
    await new Promise((done) => {
      wake = done;
      // Without a login, only one that logs in changes anything.
      if (daemon.problem?.status !== 401) setTimeout(done, pause);
    });
    pause = Math.min(pause * 1.5, LONGEST_PAUSE);
  }
}
let wake = () => {};

/** Tries to connect at once. */
export const reconnect = () => {
  stop?.abort();
  wake();
};

const untilSeen = () => (document.hidden
  ? new Promise((done) => document.addEventListener("visibilitychange", () => done(), { once: true }))
  : Promise.resolve());
let unseen = 0;
document.addEventListener("visibilitychange", () => {
  clearTimeout(unseen);
  if (document.hidden) unseen = setTimeout(() => stop?.abort(), UNSEEN);
  else wake();
});
