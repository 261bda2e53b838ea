// Who is here, and which view is shown: the part of the address behind `#`.

import { ask, Problem, token } from "./api.js";
import { byId, field, h, put } from "./dom.js";
import { files } from "./views/files.js";
import { overview } from "./views/overview.js";
import { run } from "./views/run.js";
import { runs } from "./views/runs.js";
import { schedule, schedules } from "./views/schedules.js";
import { secrets } from "./views/secrets.js";
import { submit } from "./views/submit.js";
import { tenant, tenants } from "./views/tenants.js";
import { workers } from "./views/workers.js";

/**
 * What a view is given.
 * @typedef {object} Here
 * @property {Me} me who is signed in
 * @property {string} id what the address names
 * @property {URLSearchParams} query
 * @property {AbortSignal} signal the view is left
 * @property {(message: string) => void} say tells the reader of something that went well
 * @property {(error: unknown) => void} fail tells the reader of something that went wrong
 * @property {(work: () => Promise<void>, seconds: number) => Promise<void>} again does it now, and from time to time while the page is seen
 *
 * @typedef {{ tenant: { id: string } & Record<string, any>, scopes: string[] }} Me
 * @typedef {(here: Here, root: HTMLElement) => void | Promise<void>} View
 * @typedef {{ name: string, view: View, nav?: boolean, scope: string }} Route
 */

/** @type {Record<string, Route>} */
const ROUTES = {
  "": { name: "Overview", view: overview, nav: true, scope: "read" },
  runs: { name: "Runs", view: runs, nav: true, scope: "read" },
  submit: { name: "Submit", view: submit, nav: true, scope: "write" },
  schedules: { name: "Schedules", view: schedules, nav: true, scope: "read" },
  files: { name: "Files", view: files, nav: true, scope: "read" },
  secrets: { name: "Secrets", view: secrets, nav: true, scope: "secrets" },
  tenants: { name: "Tenants", view: tenants, nav: true, scope: "operator" },
  workers: { name: "Workers", view: workers, nav: true, scope: "operator" },
  run: { name: "Run", view: run, scope: "read" },
  schedule: { name: "Schedule", view: schedule, scope: "read" },
  tenant: { name: "Tenant", view: tenant, scope: "operator" },
};

/** @type {Me | null} */
let me = null;
let leave = new AbortController();

/** @param {string} message */
function say(message) {
  byId("status").textContent = message;
}

/** @param {unknown} error */
function fail(error) {
  if (error instanceof DOMException && error.name === "AbortError") return;
  if (error instanceof Problem && error.status === 401) return signOut(error.message);
  const message = error instanceof Problem ? error.message : "The service cannot be reached.";
  if (!(error instanceof Problem)) console.error(error);
  const close = h("button", { onclick: () => put(byId("alert")) }, "Close");
  put(byId("alert"), h("p", {}, message), close);
}

/** @param {string} [why] */
function signOut(why = "") {
  token.set("");
  me = null;
  show().catch(fail);
  byId("alert").textContent = why;
}

/**
 * Shows what the address names.
 * @param {boolean} [isMoved] the reader came from another view, and begins at this one's heading
 */
async function show(isMoved) {
  leave.abort();
  const left = (leave = new AbortController());
  say("");
  put(byId("alert"));
  const root = h("div", { class: "view" });
  if (!me && token.get()) me = await ask("GET", "me");
  if (!me) {
    chrome("sign-in");
    put(byId("main"), signIn());
    return;
  }
  const [path = "", query] = location.hash.replace(/^#\/?/, "").split("?");
  const [name = "", id = ""] = path.split("/");
  const route = ROUTES[name] ?? { name: "Nothing here", view: nothing, scope: "" };
  chrome(name);
  document.title = `${route.name} · vtwasm jobs`;
  const heading = h("h1", { tabindex: "-1" }, route.name);
  put(byId("main"), heading, root);
  if (isMoved) heading.focus();
  const { scopes } = me;
  if (route.scope && !scopes.includes(route.scope)) {
    put(root, h("p", {}, `Your token has no scope “${route.scope}”.`));
    return;
  }
  const { signal } = left;
  const quiet = (/** @type {unknown} */ error) => void (signal.aborted || fail(error));
  /** @type {Here["again"]} */
  const again = async (work, seconds) => {
    await work();
    const timer = setInterval(() => {
      if (!document.hidden) work().catch(quiet);
    }, seconds * 1000);
    signal.addEventListener("abort", () => clearInterval(timer));
  };
  const here = { me, id: decodeURIComponent(id), query: new URLSearchParams(query), signal, say, fail: quiet, again };
  try {
    await route.view(here, root);
  } catch (error) {
    quiet(error);
  }
}

/** @type {View} */
const nothing = (_, root) => put(root, h("p", {}, "No view has this address."));

/**
 * What stands around a view.
 * @param {string} current
 */
function chrome(current) {
  const links = Object.entries(ROUTES).filter(([, { nav, scope }]) => nav && me?.scopes.includes(scope));
  const link = (/** @type {[string, Route]} */ [path, { name }]) =>
    h("a", { href: `#/${path}`, "aria-current": path === current && "page" }, name);
  put(byId("nav"), ...links.map(link));
  put(byId("who"), me?.tenant.id, h("button", { onclick: () => signOut() }, "Sign out"));
  byId("nav").hidden = byId("who").hidden = !me;
}

function signIn() {
  document.title = "Sign in · vtwasm jobs";
  const input = h("input", { type: "password", autocomplete: "off", spellcheck: "false", required: true });
  const enter = async (/** @type {Event} */ event) => {
    event.preventDefault();
    token.set(input.value.trim());
    try {
      await show(true);
    } catch (error) {
      fail(error);
    }
  };
  return h(
    "form",
    { class: "sign-in panel", onsubmit: enter },
    h("h1", {}, "Sign in"),
    field("Token", input, "vt_… as `vtwasm serve` or `vtwasm tenant token` printed it. It stays in this tab."),
    h("button", { class: "primary" }, "Sign in"),
  );
}

addEventListener("hashchange", () => {
  // The link that skips to the content is no view.
  if (location.hash === "#main") return;
  show(true).catch(fail);
});
show().catch(fail);
