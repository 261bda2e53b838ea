// What happened to the fibers, for a timeline: three numbers for each change, in batches.
//
//   time in nanoseconds, fiber, change + 16 × subject
//
// A change is a reason (its index in REASONS: the fiber is blocked) or one of those below. The subject is
// what a blocked fiber waits for: an address of the guest or a descriptor.

import { REASONS, type Change, type FiberId } from "./scheduler.ts";

export const CHANGES = [...REASONS, "spawned", "ready", "running", "finished"] as const;
export const NUMBERS = 3;
/** The subject is above. */
export const CHANGE_UNITS = 16;

const BATCH = 4096 * NUMBERS;
const CODES = new Map<Change, number>(CHANGES.map((change, code) => [change, code]));

export class Trace {
  /** What the fiber that parks next waits for. */
  subject = 0;
  #send: (events: Float64Array<ArrayBuffer>) => void;
  #now: () => number;
  #batch = new Float64Array(BATCH);
  #length = 0;

  constructor(now: () => number, send: (events: Float64Array<ArrayBuffer>) => void) {
    this.#now = now;
    this.#send = send;
  }

  record(fiber: FiberId, change: Change): void {
    const code = CODES.get(change) ?? 0;
    const subject = code < REASONS.length ? this.subject : 0;
    this.#batch[this.#length] = this.#now();
    this.#batch[this.#length + 1] = fiber;
    this.#batch[this.#length + 2] = code + CHANGE_UNITS * subject;
    this.#length += NUMBERS;
    if (this.#length === BATCH) this.flush();
  }

  flush(): void {
    if (this.#length === 0) return;
    this.#send(this.#batch.slice(0, this.#length));
    this.#length = 0;
  }
}
