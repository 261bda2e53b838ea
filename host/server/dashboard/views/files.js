// Files that are kept: those that were put, and those that jobs have left.

import { address, ask, send } from "../api.js";
import { field, h, put, save, table } from "../dom.js";
import { moment, size } from "../format.js";

/** @type {import("../main.js").View} */
export async function files(here, root) {
  const { me, query, signal, say, fail } = here;
  const operator = me.scopes.includes("operator");
  const mayWrite = me.scopes.includes("write");
  const [tenant, after] = [query.get("tenant") ?? (operator ? "*" : null), query.get("after")];
  const found = h("div", {});
  const look = async () => {
    const page = await ask("GET", address("files", { tenant, after }), { signal });
    const path = (/** @type {any} */ file) =>
      address(`files/${file.sha256}`, { tenant: file.tenant === me.tenant.id ? null : file.tenant });
    const fetch = async (/** @type {any} */ file) => {
      try {
        const response = await send("GET", path(file), { signal });
        save(await response.blob(), file.sha256);
      } catch (error) {
        fail(error);
      }
    };
    const remove = async (/** @type {any} */ file) => {
      if (!confirm("Remove this file?")) return;
      try {
        await ask("DELETE", path(file));
        await look();
        say("The file is removed.");
      } catch (error) {
        fail(error);
      }
    };
    const rows = page.files.map((/** @type {any} */ file) => [
      h("span", { class: "id", title: file.sha256 }, `${file.sha256.slice(0, 20)}…`),
      ...(operator ? [file.tenant] : []),
      size(file.bytes),
      moment(file.used),
      h(
        "span",
        { class: "actions" },
        h("button", { onclick: () => fetch(file), "aria-label": `Save ${file.sha256}` }, "Save"),
        mayWrite && h("button", { onclick: () => remove(file), "aria-label": `Remove ${file.sha256}` }, "Remove"),
      ),
    ]);
    const columns = ["SHA-256", ...(operator ? ["Tenant"] : []), "Size", "Used", "Action"];
    put(
      found,
      rows.length === 0 ? h("p", { class: "none" }, "No files.") : table("Files, by SHA-256", columns, rows),
      page.next && h("p", { class: "pages" }, h("a", { class: "button", href: address("#/files", { tenant, after: page.next }) }, "Next")),
    );
  };
  const input = h("input", { type: "file", required: true });
  const keep = async (/** @type {Event} */ event) => {
    event.preventDefault();
    const [file] = input.files ?? [];
    if (!file) return;
    try {
      const { sha256 } = await ask("PUT", "files", { body: file });
      await look();
      say(`Kept as ${sha256}.`);
      input.value = "";
    } catch (error) {
      fail(error);
    }
  };
  put(
    root,
    h("p", { class: "hint" }, "A file that no job and no schedule has goes some time after its last use."),
    found,
    mayWrite &&
      h("form", { class: "row panel", onsubmit: keep }, field("File", input), h("button", { class: "primary" }, "Keep")),
  );
  await look();
}
