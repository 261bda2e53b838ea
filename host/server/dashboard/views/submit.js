// Hands in a job.

import { ask, Problem } from "../api.js";
import { field, h, put } from "../dom.js";
import { pageOf } from "./list.js";

const EXAMPLE = `def main(n):
    print("squaring", n)
    return n * n
`;

/** @type {import("../main.js").View} */
export function submit({ me, fail }, root) {
  const text = (/** @type {string} */ name, /** @type {object} */ more = {}) =>
    h("input", { name, autocomplete: "off", spellcheck: "false", ...more });
  const amount = (/** @type {string} */ name, /** @type {object} */ more = {}) =>
    text(name, { type: "number", min: "0", step: "any", ...more });
  const area = (/** @type {string} */ name, /** @type {number} */ rows, value = "") =>
    h("textarea", { name, rows, spellcheck: "false", autocapitalize: "off" }, value);
  // The same form again, after an answer that was lost, makes no second job.
  let key = random();
  const send = async (/** @type {SubmitEvent} */ event) => {
    event.preventDefault();
    try {
      const given = new FormData(form);
      const body = submission(given);
      const cron = String(given.get("cron") ?? "").trim();
      if (cron) {
        const [timezone, missed] = [given.get("timezone") || "UTC", given.get("missed")];
        const { id } = await ask("POST", "schedules", { body: { cron, timezone, missed, submission: body } });
        location.hash = `#/schedule/${id}`;
        return;
      }
      const job = await ask("POST", "jobs", { body, headers: { "Idempotency-Key": key } });
      location.hash = pageOf(job, me);
    } catch (error) {
      fail(error);
    }
  };
  const form = h(
    "form",
    { class: "wide", onsubmit: send, oninput: () => (key = random()) },
    field("Name", text("name", { maxlength: "200" }), "What people call it; may be left out."),
    field("Python", area("source", 14, EXAMPLE), "If there is a function main, what it returns is the result."),
    field("Arguments", area("arguments", 2, "[12]"), "JSON: an array for positional ones, an object for named ones."),
    h(
      "details",
      {},
      h("summary", {}, "More: retries, delay, limits, environment"),
      h(
        "div",
        { class: "row" },
        field("Retries", amount("retries", { max: "100", step: "1" })),
        field("Delay, seconds", amount("delay")),
        field("Priority", amount("priority", { min: "-9", max: "9", step: "1" })),
        field("Time, seconds", amount("wall_time")),
        field("Processor time, seconds", amount("cpu_time")),
        field("Memory, MiB", amount("memory", { step: "1" })),
      ),
      field("Packages", text("packages"), "Such as requests==2.32.5, with a space between; of those that the tenant may have."),
      field("Environment", area("environment", 2), "A line for each variable: NAME=VALUE"),
      me.scopes.includes("secrets") && field("Secrets", text("secrets"), "Names, with a space between."),
      field("Standard input", area("stdin", 2)),
      h("label", { class: "check" }, h("input", { type: "checkbox", name: "timeline" }), "Record what its threads do"),
    ),
    h(
      "details",
      {},
      h("summary", {}, "Again and again: a schedule"),
      h(
        "div",
        { class: "row" },
        field("Times", text("cron", { placeholder: "30 2 * * MON-FRI" }), "As cron has them; left empty: once, now."),
        field("Hours of", text("timezone", { placeholder: "UTC" }), "A place, such as Europe/Berlin."),
        field("Missed turns", h("select", { name: "missed" }, h("option", { value: "skip" }, "leave out"), h("option", { value: "one" }, "make up for one"))),
      ),
    ),
    h("p", {}, h("button", { class: "primary" }, "Submit")),
  );
  put(root, form);
}

/**
 * What the form says, as the service wants it.
 * @param {FormData} form
 */
function submission(form) {
  const text = (/** @type {string} */ name) => String(form.get(name) ?? "");
  const amount = (/** @type {string} */ name) => (text(name) === "" ? undefined : Number(text(name)));
  const words = (/** @type {string} */ name) => text(name).split(/\s+/).filter(Boolean);
  const memory = amount("memory");
  const lines = text("environment").split("\n").filter((line) => line.trim());
  return {
    source: text("source"),
    name: text("name").trim() || undefined,
    arguments: text("arguments").trim() ? parsed(text("arguments")) : undefined,
    retries: amount("retries"),
    delay: amount("delay"),
    priority: amount("priority"),
    stdin: text("stdin") || undefined,
    timeline: form.has("timeline") || undefined,
    secrets: words("secrets"),
    packages: words("packages"),
    environment: Object.fromEntries(lines.map((line) => [line.split("=", 1)[0], line.slice(line.indexOf("=") + 1)])),
    limits: {
      wall_time: amount("wall_time"),
      cpu_time: amount("cpu_time"),
      memory: memory === undefined ? undefined : memory * 2 ** 20,
    },
  };
}

/** @param {string} json */
function parsed(json) {
  try {
    return JSON.parse(json);
  } catch (error) {
    throw new Problem(0, `Arguments: this is no JSON: ${error instanceof Error ? error.message : ""}`);
  }
}

/** Only secure pages have crypto.randomUUID. */
const random = () => Array.from(crypto.getRandomValues(new Uint32Array(4)), (word) => word.toString(16)).join("-");
