// The policy of the scheduler, by the cases of tests/policy.txt, which the host in Rust runs too.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { Scheduler, type Pick, type Reason } from "../host/src/scheduler.ts";

const MS = 1e6;

function show(pick: Pick | null): string {
  if (!pick) return "none";
  return "start" in pick ? `${pick.fiber} start ${pick.start}` : `${pick.fiber} ${pick.resume}`;
}

const yesOrNo = (value: boolean) => (value ? "yes" : "no");

/** What one line of a case gives, in the words of the file. */
function step(scheduler: Scheduler, verb: string, [first, second, third]: string[]): string | void {
  const number = Number(first);
  switch (verb) {
    case "spawn":
      return String(scheduler.spawn(number) ?? "none");
    case "block":
      return scheduler.block(number * MS, second as Reason, third ? Number(third) * MS : null);
    case "finish":
      return scheduler.finish();
    case "wake":
      return scheduler.wake(number, "ready");
    case "subscribe":
      scheduler.subscribe();
      return;
    case "notify":
      return scheduler.notify(number);
    case "interrupt":
      return scheduler.interrupt();
    case "expire":
      return scheduler.expire(number * MS);
    case "interval":
      return scheduler.setInterval(number * MS);
    case "pick":
      return show(scheduler.pick(number * MS));
    case "preempt":
      return yesOrNo(scheduler.shouldPreempt(number * MS));
    case "deadlocked":
      return yesOrNo(scheduler.isDeadlocked);
    default:
      throw new Error(`policy.txt has no step ${verb}`);
  }
}

const lines = readFileSync(join(import.meta.dirname, "../../tests/policy.txt"), "utf8").split("\n");
const steps = lines.filter((line) => line && !line.startsWith("#"));
while (steps.length > 0) {
  const [, limit, name] = /^case (\d+) (.*)$/.exec(steps.shift() ?? "") ?? [];
  const end = steps.findIndex((line) => line.startsWith("case "));
  const own = steps.splice(0, end === -1 ? steps.length : end);
  test(name, () => {
    const scheduler = new Scheduler(Number(limit));
    const happened = own.map((line) => {
      const [action] = line.split(" -> ");
      const [verb, ...words] = action.split(" ");
      const result = step(scheduler, verb, words);
      return result === undefined ? action : `${action} -> ${result}`;
    });
    expect(happened).toEqual(own);
  });
}
