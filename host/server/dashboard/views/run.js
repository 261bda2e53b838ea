// One run: where it is, how it came there, what it writes.

import { address, ask, follow, Problem, send } from "../api.js";
import { facts, h, put } from "../dom.js";
import { badge, between, duration, moment, number, size } from "../format.js";
import { Log } from "./log.js";
import { timelines } from "./timeline.js";

const FINAL = ["SUCCESS", "FAILURE", "REVOKED"];
/** Characters of a result that are shown. */
const LONGEST = 100_000;

/** @type {import("../main.js").View} */
export async function run(here, root) {
  const { id, query, signal, fail } = here;
  const path = (/** @type {string} */ rest, more = {}) =>
    address(`jobs/${encodeURIComponent(id)}${rest}`, { tenant: query.get("tenant"), ...more });
  const [about, history, result] = [h("section", {}), h("section", {}), h("section", { hidden: true })];
  const timeline = h("section", { hidden: true });
  const log = new Log(async () => (await send("GET", path("/logs"), { signal })).blob(), `${id}.txt`, fail);
  put(root, about, result, history, timeline, log.element);

  let recorded = "";
  /** Once more starts have a timeline than before. */
  const lookAtTimelines = async (/** @type {any[]} */ attempts) => {
    const starts = attempts.filter((attempt) => attempt.timeline).map(({ attempt }) => attempt);
    if (starts.join() === recorded) return;
    recorded = starts.join();
    await timelines(here, timeline, starts, (attempt) => ask("GET", path("/timeline", { attempt: String(attempt) }), { signal }));
  };
  let turn = 0;
  /** Asks anew each time: an answer to something else may be older than what is shown. */
  const look = async () => {
    const own = ++turn;
    const [job, attempts] = await Promise.all(["", "/attempts"].map((rest) => ask("GET", path(rest), { signal })));
    if (own !== turn) return;
    put(about, ...summary(here, job, act));
    put(history, h("h2", {}, "History"), steps(job, attempts));
    lookAtTimelines(attempts).catch(fail);
    result.hidden = job.state !== "SUCCESS";
    if (job.state === "SUCCESS") {
      const text = await (await send("GET", path("/result"), { signal })).text();
      if (own !== turn) return;
      put(result, h("h2", {}, "Result"), code(pretty(text)));
    }
  };
  /** Does something to the job, and shows what it is then. */
  const act = async (/** @type {string} */ what, /** @type {string} */ done) => {
    try {
      await ask("POST", path(`/${what}`), { signal });
      await look();
      here.say(done);
      if (what === "retry") watch().catch(fail);
    } catch (error) {
      fail(error);
    }
  };
  let watching = false;
  const watch = async () => {
    if (watching) return;
    watching = true;
    log.clear();
    try {
      for await (const { name, data } of follow(path("/logs"), signal)) {
        if (name === "log") log.add(data);
        else if (name === "state") await look();
      }
      log.end();
    } finally {
      watching = false;
    }
  };
  try {
    await look();
  } catch (error) {
    if (!(error instanceof Problem) || error.status !== 404) throw error;
    put(root, h("p", {}, "There is no such run, or it is another tenant’s."));
    return;
  }
  watch().catch(fail);
}

/**
 * @param {import("../main.js").Here} here
 * @param {any} job
 * @param {(what: string, done: string) => void} act
 */
function summary({ me }, job, act) {
  const mayWrite = me.scopes.includes("write");
  const canCancel = mayWrite && !FINAL.includes(job.state);
  const canRetry = mayWrite && ["FAILURE", "REVOKED"].includes(job.state);
  const used = job.usage;
  return [
    h(
      "div",
      { class: "row head" },
      h("h2", { class: job.name ? "title" : "title id" }, job.name ?? job.id),
      badge(job.state),
      job.cancel_requested && job.state === "STARTED" && h("span", { class: "hint" }, "will be cancelled"),
      h("span", { class: "space" }),
      canCancel &&
        h("button", { disabled: job.cancel_requested, onclick: () => act("cancel", "Cancelled") }, "Cancel"),
      canRetry && h("button", { class: "primary", onclick: () => act("retry", "It waits again") }, "Retry"),
    ),
    job.error && h("div", { class: "error" }, h("h3", {}, "Error"), h("pre", {}, job.error)),
    facts([
      ["Job", h("span", { class: "id" }, job.id)],
      ["Tenant", job.tenant],
      ["Submitted", moment(job.created)],
      ["Not before", ["PENDING", "RETRY"].includes(job.state) ? moment(job.not_before) : null],
      ["Not after", moment(job.expires)],
      ["Priority", job.priority || null],
      ["Starts", number(job.attempt)],
      ["Waited", job.attempt === 1 ? duration(between(job.created, job.started)) : null],
      ["Took", job.finished ? duration(between(job.started, job.finished)) : null],
      ["Processor time", used && duration(used.cpu_time)],
      ["Memory, at most", used && size(used.memory)],
      ["Output", used && size(used.output)],
      ["Exit code", job.exit_code],
      ["Limit", job.limit],
    ]),
  ];
}

/**
 * @param {any} job
 * @param {any[]} attempts
 */
function steps(job, attempts) {
  const step = (/** @type {string | null} */ at, /** @type {import("../dom.js").Child[]} */ ...what) =>
    h("li", {}, moment(at), h("span", {}, ...what));
  const items = [step(job.created, badge("PENDING"), " submitted")];
  for (const { attempt, state, started, finished, error } of attempts) {
    items.push(step(started, badge("STARTED"), ` start ${attempt}`));
    if (finished) items.push(step(finished, badge(state), error && ` ${error}`));
  }
  // One that never started, or that ended between two starts.
  if (FINAL.includes(job.state) && attempts.at(-1)?.finished !== job.finished)
    items.push(step(job.finished, badge(job.state), job.error && ` ${job.error}`));
  return h("ol", { class: "steps" }, ...items);
}

/** @param {string} json */
function pretty(json) {
  if (json.length > LONGEST) return `${json.slice(0, LONGEST)}…`;
  try {
    return JSON.stringify(JSON.parse(json), null, 2);
  } catch {
    return json;
  }
}

/** @param {string} text */
const code = (text) => h("pre", { class: "panel", tabindex: "0", role: "region", "aria-label": "Result" }, text);
