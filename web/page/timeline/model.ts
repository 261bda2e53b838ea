// What the threads of a run did: a lane for each, with its states and when they began.

import { CHANGES, CHANGE_UNITS, NUMBERS } from "../../host/src/trace.ts";

export type Change = (typeof CHANGES)[number];

/** More would take more memory than a look at it is worth. */
const MOST_STATES = 2_000_000;
const SPAWNED = CHANGES.indexOf("spawned");
const FINISHED = CHANGES.indexOf("finished");

/** A virtual thread. Fibers' numbers serve again; lanes do not. */
export class Lane {
  readonly number: number;
  readonly fiber: number;
  /** When each state began, in nanoseconds; the last one lasts. */
  readonly times: number[] = [];
  readonly #states: number[] = [];

  constructor(number: number, fiber: number) {
    this.number = number;
    this.fiber = fiber;
  }

  get name(): string {
    return this.number === 0 ? "main" : `thread ${this.number}`;
  }

  add(time: number, state: number): void {
    this.times.push(time);
    this.#states.push(state);
  }

  change(index: number): Change {
    return CHANGES[this.#states[index] % CHANGE_UNITS];
  }

  /** What it waits for: an address of the guest or a descriptor. */
  subject(index: number): number {
    return Math.floor(this.#states[index] / CHANGE_UNITS);
  }

  get isOver(): boolean {
    return this.times.length > 0 && this.change(this.times.length - 1) === "finished";
  }

  /** The index of its state at that time; -1 before its start. */
  at(time: number, from = 0): number {
    let [low, high] = [from, this.times.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.times[middle] <= time) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }
}

export class Timeline {
  readonly lanes: Lane[] = [];
  #current = new Map<number, Lane>();
  #states = 0;
  #last = 0;
  #arrived = performance.now();
  #isRunning = true;

  /** Whether there was more than is kept. */
  get isFull(): boolean {
    return this.#states >= MOST_STATES;
  }

  /** The end of what is known, in nanoseconds since the run began. */
  get now(): number {
    if (!this.#isRunning) return this.#last;
    return this.#last + (performance.now() - this.#arrived) * 1e6;
  }

  /** Whether nothing has happened for a while. */
  get isQuiet(): boolean {
    return performance.now() - this.#arrived > 1000;
  }

  add(events: Float64Array): void {
    if (this.isFull) return;
    for (let i = 0; i < events.length; i += NUMBERS) {
      const [time, fiber, state] = [events[i], events[i + 1], events[i + 2]];
      const code = state % CHANGE_UNITS;
      let lane = this.#current.get(fiber);
      if (!lane || code === SPAWNED) {
        lane = new Lane(this.lanes.length, fiber);
        this.lanes.push(lane);
        this.#current.set(fiber, lane);
      }
      lane.add(time, state);
      if (code === FINISHED) this.#current.delete(fiber);
      this.#last = time;
    }
    this.#states += events.length / NUMBERS;
    this.#arrived = performance.now();
  }

  /** The run stands still, or goes on, or is over. */
  hold(isHeld: boolean): void {
    this.#last = this.now;
    this.#arrived = performance.now();
    this.#isRunning = !isHeld;
  }

  get isHeld(): boolean {
    return !this.#isRunning;
  }
}

/** In the words of people. */
export function describe(change: Change, subject: number): string {
  const place = `0x${subject.toString(16)}`;
  switch (change) {
    case "spawned":
    case "ready":
    case "yield":
    case "preempt":
      return "ready";
    case "running":
      return "running";
    case "finished":
    case "exit":
      return "over";
    case "sleep":
      return "asleep";
    case "io":
      return `waits for descriptor ${subject}`;
    case "join":
      return `waits for the end of a thread (${place})`;
    case "semaphore":
    case "mutex":
      return `waits for a lock (${place})`;
    default:
      return `waits for a ${change} (${place})`;
  }
}
