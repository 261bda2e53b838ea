// A list of runs.

import { h, table } from "../dom.js";
import { address } from "../api.js";
import { badge, between, duration, moment } from "../format.js";

/**
 * The address of a run's page.
 * @param {any} job
 * @param {import("../main.js").Me} me
 */
export const pageOf = (job, me) =>
  address(`#/run/${encodeURIComponent(job.id)}`, { tenant: job.tenant === me.tenant.id ? null : job.tenant });

/**
 * @param {any[]} jobs
 * @param {import("../main.js").Me} me
 */
export function list(jobs, me) {
  if (jobs.length === 0) return h("p", { class: "none" }, "No runs.");
  const operator = me.scopes.includes("operator");
  const columns = ["State", "Run", ...(operator ? ["Tenant"] : []), "Submitted", "Starts", "Took"];
  const rows = jobs.map((job) => [
    badge(job.state),
    h("a", { href: pageOf(job, me), class: job.name ? "" : "id" }, job.name ?? job.id),
    ...(operator ? [job.tenant] : []),
    moment(job.created),
    job.attempt,
    duration(between(job.started, job.finished)),
  ]);
  return table("Runs, the youngest first", columns, rows);
}
