// Requests to the daemon. A login is a cookie that scripts cannot read: nothing secret is ever kept here.

/** An answer that is none: the words of the daemon's problem, and its status; 0 if there was no answer. */
export class Problem extends Error {
  constructor(status, body) {
    super(body?.detail || body?.title || (status ? `the daemon answered ${status}` : "the daemon does not answer"));
    this.status = status;
    this.kind = body?.type;
    this.hint = body?.hint;
    this.results = body?.results ?? [];
    this.diagnostics = body?.diagnostics ?? [];
  }
}

let onLogin = () => {};

/** Says what to do when a login is missing. */
export const whenLoginIsMissing = (does) => { onLogin = does; };

async function ask(method, path, { body, signal, headers } = {}) {
  const init = { method, signal, headers: { ...headers }, cache: "no-store", credentials: "same-origin", redirect: "error" };
  if (method !== "GET" && method !== "DELETE") {
    init.headers["Content-Type"] = "application/json";
    if (body !== undefined) init.body = JSON.stringify(body);
  }
  let answer;
  try {
    answer = await fetch(path, init);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0);
  }
  if (answer.ok) return answer;
  const problem = new Problem(answer.status, await answer.json().catch(() => null));
  if (answer.status === 401 && path !== "/v1/session") onLogin();
  throw problem;
}

const json = async (answer) => (answer.status === 204 ? null : answer.json());

export const get = (path, options) => ask("GET", path, options).then(json);
export const post = (path, body, options) => ask("POST", path, { ...options, body }).then(json);
export const remove = (path, options) => ask("DELETE", path, options).then(json);

/** The path of an instance: its exact name, whatever characters it has. */
export const named = (name, rest = "") => `/v1/programs/${encodeURIComponent(`=${name}`)}${rest}`;

/** A selection of instances by their exact names. */
export const selection = (names) => names.map((name) => `=${name}`).join(",");

/** The path of an action on several instances. */
export const selected = (names, rest) => `/v1/programs/${encodeURIComponent(selection(names))}${rest}`;

/** The lines of an answer that goes on, in batches as they come. */
async function* batches(path, options) {
  const answer = await ask("GET", path, options);
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    // The answer has begun: a sign of life, whenever its first line comes.
    yield [];
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const lines = (rest + value).split("\n");
      rest = lines.pop();
      if (lines.length) yield lines;
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

/** The entries of a log, in batches. */
export async function* entries(path, options) {
  for await (const lines of batches(path, options)) yield lines.filter(Boolean).map((line) => JSON.parse(line));
}

/** Server-sent events, in batches; the daemon writes the data of each on one line. An empty batch is a sign of life. */
export async function* events(after, options) {
  const headers = { Accept: "text/event-stream", ...(after ? { "Last-Event-ID": String(after) } : {}) };
  for await (const lines of batches("/v1/events", { ...options, headers })) {
    yield lines.filter((line) => line.startsWith("data:")).map((line) => JSON.parse(line.slice(5)));
  }
}
