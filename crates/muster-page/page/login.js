// The login. A token or a password goes to the daemon once and stays nowhere in the page.

import { failure, h, put } from "./dom.js";
import { logIn, session } from "./session.js";

/** Shows the form until a login may look; then calls `done`. */
export function show(place, done) {
  const problem = h("div", { role: "alert" });
  const field = (label, name, props) => h("label", {}, label, h("input", { name, autocapitalize: "off", spellcheck: "false", ...props }));
  const kind = (value, text, checked) => h("label", {}, h("input", { type: "radio", name: "kind", value, checked, onchange: choose }), text);
  const fields = h("div");
  const submit = h("button", { type: "submit", class: "primary" }, "Log in");
  function choose(event) {
    if (event?.target.value === "password") {
      put(fields, field("Name", "username", { autocomplete: "username", required: true }), field("Password", "password", { type: "password", autocomplete: "current-password", required: true }));
    } else put(fields, field("Token", "token", { type: "password", autocomplete: "current-password", required: true }));
  }
  choose();
  const form = h("form", { class: "login", onsubmit: async (event) => {
    event.preventDefault();
    const data = new FormData(form);
    const login = data.has("token") ? { token: data.get("token").trim() } : { username: data.get("username"), password: data.get("password") };
    submit.disabled = true;
    put(problem);
    try {
      if (await logIn(login)) done();
      else put(problem, failure(new Error(`${session.by} may not see this page: its role is ${session.role ?? "none"}`)));
    } catch (error) {
      put(problem, failure(error.status === 401 ? new Error("the daemon does not know this login") : error));
      form.querySelector('input[type="password"]').value = "";
      form.querySelector('input[type="password"]').focus();
    }
    submit.disabled = false;
  } }, h("h1", {}, "Log in"),
  !session.isEncrypted && h("p", { class: "warning" }, "This connection is not encrypted: others on the network can read what you type here."),
  h("fieldset", {}, h("legend", {}, "With"), kind("token", "a token", true), kind("password", "a name and a password", false)),
  fields, problem, submit);
  put(place, form);
  form.querySelector('input[type="password"]').focus();
}
