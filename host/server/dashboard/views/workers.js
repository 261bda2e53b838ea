// The processes that run jobs: for the operator.

import { ask } from "../api.js";
import { h, put, table } from "../dom.js";
import { between, duration, moment, number } from "../format.js";

/** @type {import("../main.js").View} */
export async function workers({ signal, again }, root) {
  await again(async () => {
    const all = await ask("GET", "workers", { signal });
    if (all.length === 0) {
      put(root, h("p", { class: "none" }, "Nobody runs jobs: start a process with --role worker, or all."));
      return;
    }
    const rows = all.map((/** @type {any} */ worker) => [
      h("span", { class: "id" }, worker.name),
      worker.host,
      worker.leaving ? "leaving" : "working",
      h(
        "span",
        { class: "load" },
        `${number(worker.running)} of ${number(worker.slots)} `,
        h("meter", { min: 0, max: worker.slots, value: worker.running, "aria-label": "Slots in use" }),
      ),
      duration(between(worker.started, null)),
      moment(worker.seen),
      worker.version,
    ]);
    put(root, table("Workers", ["Worker", "Machine", "State", "Slots", "Up for", "Seen", "Version"], rows));
  }, 2);
}
