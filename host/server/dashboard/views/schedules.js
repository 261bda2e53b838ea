// Schedules: what is submitted again and again.

import { address, ask, Problem } from "../api.js";
import { facts, h, put, table } from "../dom.js";
import { moment } from "../format.js";
import { pageOf } from "./list.js";

/** @type {import("../main.js").View} */
export async function schedules({ me, query, signal, again }, root) {
  const operator = me.scopes.includes("operator");
  const [tenant, after] = [query.get("tenant") ?? (operator ? "*" : null), query.get("after")];
  const found = h("div", {});
  put(root, me.scopes.includes("write") && h("p", {}, h("a", { class: "button", href: "#/submit" }, "New schedule")), found);
  await again(async () => {
    if (found.contains(document.activeElement)) return;
    const all = await ask("GET", address("schedules", { tenant, after }), { signal });
    const rows = all.map((/** @type {any} */ schedule) => [
      h("a", { href: address(`#/schedule/${schedule.id}`, { tenant: other(schedule, me) }) }, schedule.cron),
      schedule.timezone,
      ...(operator ? [schedule.tenant] : []),
      moment(schedule.next) ?? "never",
      lastTurn(schedule, me),
    ]);
    const columns = ["Schedule", "Hours of", ...(operator ? ["Tenant"] : []), "Next turn", "Last turn"];
    put(
      found,
      rows.length === 0 ? h("p", { class: "none" }, "No schedules.") : table("Schedules, the oldest first", columns, rows),
      all.length === 1000 && h("p", { class: "pages" }, h("a", { class: "button", href: address("#/schedules", { tenant, after: all.at(-1).id }) }, "Next")),
    );
  }, 5);
}

/** @type {import("../main.js").View} */
export async function schedule(here, root) {
  const { me, id, query, signal, fail } = here;
  const path = address(`schedules/${encodeURIComponent(id)}`, { tenant: query.get("tenant") });
  let found;
  try {
    found = await ask("GET", path, { signal });
  } catch (error) {
    if (!(error instanceof Problem) || error.status !== 404) throw error;
    put(root, h("p", {}, "There is no such schedule, or it is another tenant’s."));
    return;
  }
  const end = async () => {
    if (!confirm("End this schedule? Its jobs stay.")) return;
    try {
      await ask("DELETE", path);
      location.hash = "#/schedules";
    } catch (error) {
      fail(error);
    }
  };
  const { source, ...rest } = found.submission;
  put(
    root,
    h(
      "div",
      { class: "row head" },
      h("h2", { class: "title" }, found.submission.name ?? found.cron),
      h("span", { class: "space" }),
      me.scopes.includes("write") && h("button", { onclick: end }, "End"),
    ),
    found.error && h("div", { class: "error" }, h("h3", {}, "Its last turn made no job"), h("pre", {}, found.error)),
    facts([
      ["Schedule", h("span", { class: "id" }, found.id)],
      ["Times", found.cron],
      ["Hours of", found.timezone],
      ["Missed turns", found.missed === "one" ? "one is made up for" : "are left out"],
      ["Tenant", found.tenant],
      ["Made", moment(found.created)],
      ["Next turn", moment(found.next) ?? "never"],
      ["Last turn", found.last && lastTurn(found, me)],
    ]),
    source && h("h2", {}, "Python"),
    source && h("pre", { class: "panel", tabindex: "0", role: "region", "aria-label": "Python" }, source),
    h("h2", {}, "Else"),
    h("pre", { class: "panel", tabindex: "0", role: "region", "aria-label": "Else" }, JSON.stringify(rest, null, 2)),
  );
}

/**
 * @param {any} schedule
 * @param {import("../main.js").Me} me
 */
function lastTurn(schedule, me) {
  if (!schedule.last) return "none yet";
  const { job, tenant, error } = schedule;
  const what = job ? h("a", { href: pageOf({ id: job, tenant }, me) }, "its run") : error && h("span", {}, error);
  return h("span", {}, moment(schedule.last), " ", what ?? "");
}

/**
 * The tenant, for an address, where it is not the reader's.
 * @param {any} schedule
 * @param {import("../main.js").Me} me
 */
const other = (schedule, me) => (schedule.tenant === me.tenant.id ? null : schedule.tenant);
