// How much there is to do, and what was done in the last day.

import { address, ask } from "../api.js";
import { facts, h, put, svg } from "../dom.js";
import { duration, number, size } from "../format.js";
import { list } from "./list.js";

const HOUR = 3_600_000;

/** @type {import("../main.js").View} */
export async function overview({ me, signal, again }, root) {
  const operator = me.scopes.includes("operator");
  const query = { tenant: operator ? "*" : null };
  await again(async () => {
    const [figures, page] = await Promise.all([
      ask("GET", address("figures", query), { signal }),
      ask("GET", address("jobs", { ...query, limit: "8" }), { signal }),
    ]);
    const sum = (/** @type {string} */ name) =>
      figures.hours.reduce((/** @type {number} */ all, /** @type {any} */ hour) => all + hour[name], 0);
    const most = operator ? "" : ` of ${number(me.tenant.max_running)}`;
    put(
      root,
      h("p", { class: "hint" }, operator ? "All tenants" : `Tenant ${me.tenant.id}`),
      h(
        "ul",
        { class: "cards", "aria-label": "Figures" },
        card("Waiting", number(figures.waiting)),
        card("Running", `${number(figures.running)}${most}`),
        card("Longest wait", figures.oldest ? duration(figures.oldest) : "none"),
        card("Runs, last 24 h", number(sum("runs"))),
        card("Processor time, last 24 h", duration(sum("cpu_time"))),
      ),
      h("section", { class: "panel" }, h("h2", {}, "Runs by hour"), chart(figures.hours)),
      h("section", {}, h("h2", {}, "Newest runs"), list(page.jobs, me)),
      !operator && h("section", {}, h("h2", {}, "What this tenant may"), quotas(me.tenant)),
    );
  }, 2);
}

/** @param {any} tenant */
function quotas({ max_running, max_queued, cpu_time, cpu_hours, artifact_bytes, rules }) {
  const names = (/** @type {string[]} */ all) => all.join(", ") || "none";
  return facts([
    ["Jobs at once", number(max_running)],
    ["Waiting, at most", number(max_queued)],
    ["Processor time", cpu_time === null ? "any" : `${duration(cpu_time)} in ${cpu_hours} h`],
    ["Files", size(artifact_bytes)],
    ["A job’s memory", size(rules.memory)],
    ["A job’s processor time", duration(rules.cpu_time)],
    ["A job’s time", duration(rules.wall_time)],
    ["A job’s output", size(rules.output)],
    ["Network", names(rules.network)],
    ["Packages", names(rules.packages)],
  ]);
}

/**
 * @param {string} name
 * @param {string} value
 */
const card = (name, value) => h("li", { class: "panel" }, h("span", { class: "hint" }, name), h("strong", {}, value));

/**
 * The last day's hours as bars, the present one at the right.
 * @param {{ begin: string, runs: number }[]} hours
 */
function chart(hours) {
  const now = Math.floor(Date.now() / HOUR);
  const counts = Array.from({ length: 24 }, () => 0);
  for (const { begin, runs } of hours) {
    const place = 23 - (now - Math.floor(Date.parse(begin) / HOUR));
    if (place in counts) counts[place] = runs;
  }
  const most = Math.max(1, ...counts);
  const label = (/** @type {number} */ place) => `${new Date((now - 23 + place) * HOUR).getHours()}:00`;
  const bars = counts.map((count, place) => {
    const height = count ? Math.max(2, (count / most) * 100) : 0;
    const title = svg("title", {}, `${label(place)}: ${number(count)} runs`);
    return svg("rect", { class: "bar", x: place * 10 + 1, y: 100 - height, width: 8, height, rx: 1 }, title);
  });
  const words = `Runs in each of the last 24 hours; the most were ${number(most)} in one hour`;
  return h(
    "figure",
    {},
    svg(
      "svg",
      { viewBox: "0 0 240 102", preserveAspectRatio: "none", role: "img", "aria-label": words },
      ...bars,
      svg("line", { class: "axis", x1: 0, x2: 240, y1: 101, y2: 101 }),
    ),
    h("figcaption", { class: "hint" }, h("span", {}, label(0)), h("span", {}, label(12)), h("span", {}, label(23))),
  );
}
