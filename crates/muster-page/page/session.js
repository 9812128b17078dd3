// The client: its user and its rights. The login itself is a cookie that no script can read.

import { get, post, remove } from "./api.js";

const LADDER = ["health", "metrics", "read", "control", "admin"];

export const session = { role: null, by: null, isSession: false, mayLogIn: false, isEncrypted: true, mayControl: false, mayAdmin: false };

const may = (role, least) => LADDER.indexOf(role) >= LADDER.indexOf(least);

function take(answer) {
  const { role, by } = answer;
  Object.assign(session, { role, by, isSession: answer.is_session, mayLogIn: answer.may_log_in, isEncrypted: answer.is_encrypted,
    mayControl: may(role, "control"), mayAdmin: may(role, "admin") });
  return may(role, "read");
}

/** Asks who this client is. Whether it may look. */
export const begin = async () => take(await get("/v1/session"));

/** Logs in. Whether the user may look. */
export const logIn = async (login) => take(await post("/v1/session", login));

export const logOut = () => remove("/v1/session");
