// Runs with filters, page by page.

import { address, ask } from "../api.js";
import { field, h, put } from "../dom.js";
import { list } from "./list.js";

const STATES = ["PENDING", "STARTED", "RETRY", "SUCCESS", "FAILURE", "REVOKED"];
const PAGE = "50";

/** @type {import("../main.js").View} */
export async function runs({ me, query, signal, again }, root) {
  const operator = me.scopes.includes("operator");
  const tenant = query.get("tenant") ?? (operator ? "*" : null);
  const [state, before] = [query.get("state"), query.get("before")];
  const go = (/** @type {Record<string, string | null>} */ filters) => {
    location.hash = address("#/runs", filters);
  };
  const option = (/** @type {string} */ value, /** @type {string} */ name, /** @type {string | null} */ chosen) =>
    h("option", { value, selected: value === (chosen ?? "") }, name);
  const states = h(
    "select",
    { onchange: () => go({ state: states.value, tenant }) },
    option("", "any", state),
    ...STATES.map((name) => option(name, name, state)),
  );
  const tenants = h("input", {
    value: tenant === "*" ? "" : tenant,
    placeholder: "all",
    spellcheck: "false",
    autocapitalize: "off",
    onchange: () => go({ state, tenant: tenants.value.trim() || "*" }),
  });
  const found = h("div", {});
  const pages = h("p", { class: "pages" });
  const filters = h("form", { class: "row", onsubmit: (/** @type {Event} */ event) => event.preventDefault() });
  filters.append(field("State", states), ...(operator ? [field("Tenant", tenants)] : []));
  put(root, filters, found, pages);
  const look = async () => {
    const page = await ask("GET", address("jobs", { state, tenant, before, limit: PAGE }), { signal });
    put(found, list(page.jobs, me));
    put(
      pages,
      before && h("a", { class: "button", href: address("#/runs", { state, tenant }) }, "Newest"),
      page.next && h("a", { class: "button", href: address("#/runs", { state, tenant, before: page.next }) }, "Older"),
    );
  };
  // What is old does not change, and a focus would be lost.
  await again(async () => {
    if (!found.hasChildNodes() || (!before && !found.contains(document.activeElement))) await look();
  }, 2);
}
