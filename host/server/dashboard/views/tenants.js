// Tenants, their quotas and their tokens: for the operator.

import { address, ask, send } from "../api.js";
import { facts, field, h, put, table } from "../dom.js";
import { duration, moment, number, size } from "../format.js";

const SCOPES = ["read", "write", "secrets", "operator"];
const MIB = 2 ** 20;
const DAY = 86_400;

/** @type {import("../main.js").View} */
export async function tenants({ query, signal, fail }, root) {
  const page = await ask("GET", address("tenants", { after: query.get("after") }), { signal });
  const name = h("input", { required: true, pattern: "[a-z0-9][a-z0-9\\-]*", maxlength: "63", autocapitalize: "off", title: "Lower-case letters, digits and hyphens" });
  const add = async (/** @type {Event} */ event) => {
    event.preventDefault();
    try {
      await ask("POST", "tenants", { body: { id: name.value } });
      location.hash = `#/tenant/${encodeURIComponent(name.value)}`;
    } catch (error) {
      fail(error);
    }
  };
  const rows = page.tenants.map((/** @type {any} */ tenant) => [
    h("a", { href: `#/tenant/${encodeURIComponent(tenant.id)}` }, tenant.id),
    number(tenant.max_running),
    number(tenant.max_queued),
    tenant.cpu_time ? `${duration(tenant.cpu_time)} in ${tenant.cpu_hours} h` : "any",
    moment(tenant.created),
  ]);
  put(
    root,
    table("Tenants, by name", ["Tenant", "At once", "Waiting, at most", "Processor time", "Made"], rows),
    h("p", { class: "pages" }, page.next && h("a", { class: "button", href: address("#/tenants", { after: page.next }) }, "Next")),
    h(
      "form",
      { class: "row panel", onsubmit: add },
      field("New tenant", name),
      h("button", { class: "primary" }, "Make"),
    ),
  );
}

/** @type {import("../main.js").View} */
export async function tenant(here, root) {
  const { id, signal } = here;
  const path = `tenants/${encodeURIComponent(id)}`;
  const response = await send("GET", path, { signal });
  const account = await response.json();
  const tokens = h("section", {});
  put(
    root,
    h("h2", { class: "title" }, id),
    facts([
      ["Made", moment(account.created)],
      ["Runs", number(account.runs)],
      ["Processor time", duration(account.used.cpu_time)],
      ["Output", size(account.used.output)],
      ["Files", size(account.stored)],
      ["Its own", h("span", { class: "actions" }, ...["runs", "files", "schedules"].map((name) => h("a", { href: address(`#/${name}`, { tenant: id }) }, name)))],
    ]),
    quotas(here, path, account, response.headers.get("ETag") ?? "*"),
    tokens,
  );
  await showTokens(here, path, tokens);
}

/**
 * @param {import("../main.js").Here} here
 * @param {string} path
 * @param {any} account
 * @param {string} seen the tag of the quotas that the form shows: another's change is not overwritten
 */
function quotas({ say, fail }, path, account, seen) {
  const { rules } = account;
  const amount = (/** @type {number | null} */ value, more = {}) =>
    h("input", { type: "number", min: "0", step: "1", value: value ?? "", ...more });
  const [running, queued] = [amount(account.max_running), amount(account.max_queued)];
  const [cpu, hours] = [amount(account.cpu_time, { step: "any", placeholder: "any" }), amount(account.cpu_hours, { min: "1", max: "744" })];
  const memory = amount(rules.memory / MIB);
  const [cpuTime, wallTime] = [amount(rules.cpu_time, { step: "any" }), amount(rules.wall_time, { step: "any" })];
  const output = amount(rules.output / 1024);
  const [stored, written] = [amount(account.artifact_bytes / MIB), amount(rules.written / MIB)];
  const kept = amount(account.keep && account.keep / DAY, { step: "any", placeholder: "as the service" });
  const packages = h("textarea", { rows: 3, spellcheck: "false", autocapitalize: "off" }, rules.packages.join("\n"));
  const network = h("textarea", { rows: 3, spellcheck: "false", autocapitalize: "off" }, rules.network.join("\n"));
  const save = async (/** @type {Event} */ event) => {
    event.preventDefault();
    // What this form does not show stays as it is; what is told beside quotas is none.
    const { id: _id, created: _created, runs: _runs, used: _used, stored: _stored, ...others } = account;
    const lines = (/** @type {HTMLTextAreaElement} */ area) => area.value.split(/\s+/).filter(Boolean);
    const body = {
      ...others,
      max_running: Number(running.value),
      max_queued: Number(queued.value),
      cpu_time: cpu.value === "" ? null : Number(cpu.value),
      cpu_hours: Number(hours.value),
      artifact_bytes: Math.round(Number(stored.value) * MIB),
      keep: kept.value === "" ? null : Number(kept.value) * DAY,
      rules: {
        ...rules,
        memory: Math.round(Number(memory.value) * MIB),
        cpu_time: Number(cpuTime.value),
        wall_time: Number(wallTime.value),
        output: Math.round(Number(output.value) * 1024),
        written: Math.round(Number(written.value) * MIB),
        network: lines(network),
        packages: lines(packages),
      },
    };
    try {
      const response = await send("PUT", path, { body, headers: { "If-Match": seen } });
      seen = response.headers.get("ETag") ?? "*";
      say("The quotas are changed.");
    } catch (error) {
      fail(error);
    }
  };
  return h(
    "form",
    { class: "panel", onsubmit: save },
    h("h2", {}, "Quotas"),
    h(
      "div",
      { class: "row" },
      field("Jobs at once", running),
      field("Waiting, at most", queued),
      field("Processor time, seconds", cpu),
      field("… within hours", hours),
      field("Files, MiB", stored),
      field("Runs are kept, days", kept),
    ),
    h("h3", {}, "For each job"),
    h(
      "div",
      { class: "row" },
      field("Memory, MiB", memory),
      field("Processor time of a job, seconds", cpuTime),
      field("Time of a job, seconds", wallTime),
      field("Output, KiB", output),
      field("Files that it leaves, MiB", written),
    ),
    field("Network", network, "One rule a line: example.com:443, 10.0.0.0/8, *. Empty: none."),
    field("Packages", packages, "One name a line; * is any. Empty: none."),
    h("button", { class: "primary" }, "Save quotas"),
  );
}

/**
 * @param {import("../main.js").Here} here
 * @param {string} path
 * @param {HTMLElement} section
 * @param {string} [made]
 */
async function showTokens(here, path, section, made) {
  const { signal, say, fail } = here;
  const all = await ask("GET", `${path}/tokens`, { signal });
  const end = async (/** @type {string} */ id) => {
    if (!confirm("End this token? Who uses it is refused from now on.")) return;
    try {
      await ask("DELETE", `${path}/tokens/${encodeURIComponent(id)}`);
      await showTokens(here, path, section);
      say("The token is ended.");
    } catch (error) {
      fail(error);
    }
  };
  const rows = all.map((/** @type {any} */ { id, scopes, created, expires }) => [
    h("span", { class: "id" }, id),
    scopes.join(", "),
    moment(created),
    moment(expires) ?? "never",
    h("button", { onclick: () => end(id), "aria-label": `End ${id}` }, "End"),
  ]);
  const boxes = SCOPES.map((name) => h("input", { type: "checkbox", value: name, checked: name === "read" }));
  const hours = h("input", { type: "number", min: "0.01", step: "any", placeholder: "never" });
  const make = async (/** @type {Event} */ event) => {
    event.preventDefault();
    const scopes = boxes.filter((box) => box.checked).map((box) => box.value);
    const lifetime = hours.value === "" ? undefined : Number(hours.value) * 3600;
    try {
      const { token } = await ask("POST", `${path}/tokens`, { body: { scopes, lifetime } });
      await showTokens(here, path, section, token);
      say("The token is made. It is shown only now.");
    } catch (error) {
      fail(error);
    }
  };
  const secret = made && h("input", { class: "id", readonly: true, value: made, onfocus: () => secret && secret.select() });
  put(
    section,
    h("h2", {}, "Tokens"),
    table("Tokens", ["Token", "Scopes", "Made", "Ends", "Action"], rows),
    secret && h("div", { class: "panel made" }, field("New token", secret, "Copy it: it is shown only now.")),
    h(
      "form",
      { class: "row panel", onsubmit: make },
      h(
        "fieldset",
        { class: "row" },
        h("legend", {}, "Scopes"),
        ...boxes.map((box) => h("label", { class: "check" }, box, box.value)),
      ),
      field("Ends after hours", hours),
      h("button", { class: "primary" }, "Make a token"),
    ),
  );
}
