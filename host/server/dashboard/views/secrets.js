// A tenant's secrets: their names only, for their values come in and never out.

import { ask } from "../api.js";
import { field, h, put, table } from "../dom.js";
import { moment } from "../format.js";

/** @type {import("../main.js").View} */
export async function secrets(here, root) {
  const { signal, say, fail } = here;
  const found = h("div", {});
  const path = (/** @type {string} */ name) => `secrets/${encodeURIComponent(name)}`;
  const look = async () => {
    const all = await ask("GET", "secrets", { signal });
    const rows = all.map((/** @type {{ name: string, changed: string }} */ { name, changed }) => [
      h("span", { class: "id" }, name),
      moment(changed),
      h("button", { onclick: () => forget(name), "aria-label": `Forget ${name}` }, "Forget"),
    ]);
    put(found, all.length === 0 ? h("p", { class: "none" }, "No secrets.") : table("Secrets, by name", ["Secret", "Set", "Action"], rows));
  };
  const forget = async (/** @type {string} */ name) => {
    if (!confirm(`Forget ${name}? Jobs that ask for it fail from now on.`)) return;
    try {
      await ask("DELETE", path(name));
      await look();
      say(`${name} is forgotten.`);
    } catch (error) {
      fail(error);
    }
  };
  const name = h("input", { required: true, pattern: "[A-Za-z_][A-Za-z0-9_]*", maxlength: "255", autocomplete: "off", spellcheck: "false", title: "Letters, digits and underscores" });
  const value = h("input", { type: "password", required: true, autocomplete: "new-password", spellcheck: "false" });
  const set = async (/** @type {Event} */ event) => {
    event.preventDefault();
    try {
      await ask("PUT", path(name.value), { body: { value: value.value } });
      await look();
      say(`${name.value} is set.`);
      name.value = value.value = "";
    } catch (error) {
      fail(error);
    }
  };
  put(
    root,
    h("p", { class: "hint" }, "A job that asks for a secret finds it in its environment, under its name. Nobody reads it here again."),
    found,
    h(
      "form",
      { class: "row panel", onsubmit: set },
      field("Name", name),
      field("Value", value),
      h("button", { class: "primary" }, "Set"),
    ),
  );
  await look();
}
