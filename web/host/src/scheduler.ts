// The policy: which fiber runs next, and when a running one must give way.
//
// The same words and the same rule as host/vtwasm/src/scheduler.rs, so read the reasons there. Nothing
// here knows WebAssembly or a clock; times come in as arguments, in nanoseconds since the sandbox was
// made (a number counts 104 days of them exactly).

import { TimerHeap } from "./timers.ts";

/** A fiber of one sandbox. The main fiber is 1; 0 is never a fiber. */
export type FiberId = number;
export const MAIN: FiberId = 1;

/** What a blocked fiber waits for: `reason` of wit/world.wit, in its order. */
export const REASONS = [
  "yield",
  "preempt",
  "sleep",
  "mutex",
  "condition",
  "semaphore",
  "rwlock",
  "join",
  "io",
  "exit",
] as const;
export type Reason = (typeof REASONS)[number];

/** Why a fiber goes on: `wake` of wit/world.wit, in its order. */
export const WAKES = ["ready", "timed-out", "interrupted", "deadlocked"] as const;
export type Wake = (typeof WAKES)[number];

/** What is to be done with the fiber that was picked. */
export type Pick =
  /** Its first run: call the guest's `run-thread` with this argument. */
  | { fiber: FiberId; start: number }
  /** It is parked: let `park` return this. */
  | { fiber: FiberId; resume: Wake };

/** What happens to a fiber, for who watches. Blocked is told by its reason. */
export type Change = Reason | "spawned" | "ready" | "running" | "finished";

type State = "free" | "new" | "ready" | "running" | "blocked";

interface Fiber {
  state: State;
  /** `new`: the argument of `run-thread`. */
  thread: number;
  /** `ready`: what `park` returns. */
  wake: Wake;
  /** `blocked`: in `timers` iff there is one. */
  deadline: number | null;
  /** Counts the blocks of this slot, so that a timer of an earlier one is known as stale. */
  generation: number;
  /** It asked to be told of something outside, until its next block is over. */
  subscribed: boolean;
  /** That happened before it blocked. */
  notified: boolean;
}

function newFiber(state: State): Fiber {
  return {
    state,
    thread: 0,
    wake: "ready",
    deadline: null,
    generation: 0,
    subscribed: false,
    notified: false,
  };
}

/** A queue whose `shift` does not move what is behind. */
class Queue<T> {
  #items: T[] = [];
  #first = 0;

  get length(): number {
    return this.#items.length - this.#first;
  }

  push(item: T): void {
    this.#items.push(item);
  }

  peek(): T | undefined {
    return this.#items[this.#first];
  }

  shift(): T | undefined {
    if (this.#first === this.#items.length) return undefined;
    const item = this.#items[this.#first++];
    if (this.#first > 1024 && this.#first * 2 > this.#items.length) {
      this.#items.splice(0, this.#first);
      this.#first = 0;
    }
    return item;
  }
}

/** The fibers of one sandbox and the order in which they run. */
export class Scheduler {
  /** Index: fiber − 1. */
  #fibers: Fiber[] = [newFiber("running")];
  #free: FiberId[] = [];
  #limit: number;
  #woken = new Queue<FiberId>();
  /** Fibers that gave way, each with the time since when. */
  #yielded = new Queue<{ fiber: FiberId; since: number }>();
  #timers = new TimerHeap();
  #running: FiberId | null = MAIN;
  #sliceStart = 0;
  /** Whether the last pick came from `#yielded`. */
  #fromYielded = false;
  /** When a fiber picked from `#yielded` last stopped running: the woken ones' turn began. */
  #wokenTurn = 0;
  #interval = 5_000_000;
  #live = 1;
  /** Blocked fibers that are subscribed. */
  #waitingOutside = 0;
  #interrupt = false;
  #switches = 0;

  /** Told of every change. */
  onChange: ((fiber: FiberId, change: Change) => void) | null = null;

  /** A scheduler whose main fiber runs, with room for `limit` fibers besides it. */
  constructor(limit: number) {
    this.#limit = limit + 1;
  }

  /** How long a fiber may run while another waits its turn (`sys.setswitchinterval`). */
  setInterval(nanos: number): void {
    this.#interval = nanos;
  }

  /** The fiber that runs, unless all of them wait. */
  get running(): FiberId | null {
    return this.#running;
  }

  /** How many fibers have not finished. */
  get live(): number {
    return this.#live;
  }

  /** The argument of `run-thread` of a fiber that has not finished; null if there is none such. The main
   * fiber's is 0. */
  threadOf(fiber: FiberId): number | null {
    const slot = this.#fibers[fiber - 1];
    return slot && slot.state !== "free" ? slot.thread : null;
  }

  /** How many times a fiber was picked. */
  get switches(): number {
    return this.#switches;
  }

  /** A new fiber, ready to call `run-thread(thread)`; null beyond the limit. */
  spawn(thread: number): FiberId | null {
    if (this.#live >= this.#limit) return null;
    this.#live += 1;
    const fiber = this.#free.pop() ?? this.#fibers.push(newFiber("free"));
    const slot = this.#fibers[fiber - 1];
    slot.state = "new";
    slot.thread = thread;
    this.#woken.push(fiber);
    this.onChange?.(fiber, "spawned");
    return fiber;
  }

  /** The running fiber parks. */
  block(now: number, reason: Reason, deadline: number | null): void {
    const fiber = this.#running;
    if (fiber === null) return;
    this.#running = null;
    const slot = this.#fibers[fiber - 1];
    // What was subscribed to before a wait of another kind is of no interest any more.
    const subscribed = slot.subscribed && reason === "io";
    const notified = slot.notified;
    slot.subscribed = slot.notified = false;
    this.onChange?.(fiber, reason);
    if (reason === "yield" || reason === "preempt") {
      slot.state = "ready";
      slot.wake = "ready";
      this.#yielded.push({ fiber, since: now });
      return;
    }
    slot.generation += 1;
    slot.state = "blocked";
    slot.deadline = deadline;
    slot.subscribed = subscribed;
    if (subscribed) this.#waitingOutside += 1;
    if (deadline !== null) {
      this.#timers.push({ deadline, fiber, generation: slot.generation });
      this.#dropStaleTimers();
    }
    if (fiber === MAIN && this.#interrupt) this.wake(fiber, "interrupted");
    else if (subscribed && notified) this.wake(fiber, "ready");
  }

  /** The running fiber is over; its slot may serve another one. */
  finish(): void {
    const fiber = this.#running;
    if (fiber === null) return;
    this.#running = null;
    const slot = this.#fibers[fiber - 1];
    slot.state = "free";
    slot.subscribed = false;
    this.#free.push(fiber);
    this.onChange?.(fiber, "finished");
    this.#live -= 1;
  }

  /** A blocked fiber becomes ready. Any other one stays as it is: there is no permit. */
  wake(fiber: FiberId, wake: Wake): void {
    const slot = this.#fibers[fiber - 1];
    if (slot?.state !== "blocked") return;
    if (slot.subscribed) this.#waitingOutside -= 1;
    slot.subscribed = false;
    slot.state = "ready";
    slot.wake = wake;
    this.#woken.push(fiber);
    this.onChange?.(fiber, "ready");
  }

  /** The running fiber asks to be told of something outside until its next block is over, which is
   * for input or output. */
  subscribe(): FiberId | null {
    if (this.#running !== null) this.#fibers[this.#running - 1].subscribed = true;
    return this.#running;
  }

  /** Something happened outside that the fiber subscribed to. One that has gone on since is left
   * alone. */
  notify(fiber: FiberId): void {
    const slot = this.#fibers[fiber - 1];
    if (!slot?.subscribed) return;
    slot.notified = slot.state === "running";
    this.wake(fiber, "ready");
  }

  /** The main fiber gets an interrupt at its next park, or now if it waits. */
  interrupt(): void {
    this.#interrupt = true;
    this.wake(MAIN, "interrupted");
  }

  /** Wakes every fiber whose deadline is not after `now`. */
  expire(now: number): void {
    for (let first = this.#timers.peek(); first; first = this.#timers.peek()) {
      const current = this.#isCurrent(first.fiber, first.generation);
      if (current && first.deadline > now) return;
      this.#timers.pop();
      if (current) this.wake(first.fiber, "timed-out");
    }
  }

  /** The earliest deadline that somebody waits for. */
  get nextDeadline(): number | null {
    return this.#timers.peek()?.deadline ?? null;
  }

  /** If no fiber runs, the one that runs next. */
  pick(now: number): Pick | null {
    if (this.#running !== null) return null;
    if (this.#fromYielded) this.#wokenTurn = now;
    this.#fromYielded = this.#woken.length === 0 || this.#yieldedIsDue(now);
    const fiber = this.#fromYielded ? this.#yielded.shift()?.fiber : this.#woken.shift();
    if (fiber === undefined) return null;
    this.#running = fiber;
    this.#sliceStart = now;
    this.#switches += 1;
    const slot = this.#fibers[fiber - 1];
    const state = slot.state;
    slot.state = "running";
    this.onChange?.(fiber, "running");
    if (state === "new") return { fiber, start: slot.thread };
    let wake = slot.wake;
    if (fiber === MAIN && this.#interrupt) {
      this.#interrupt = false;
      wake = "interrupted";
    }
    return { fiber, resume: wake };
  }

  /** Whether the running fiber should be asked to give way. */
  shouldPreempt(now: number): boolean {
    if (this.#running === null) return false;
    const ran = now - this.#sliceStart;
    // An interrupt is delivered in a park: the running fiber, whichever it is, must reach one.
    const mainIsReady = this.#fibers[MAIN - 1].state === "ready";
    return (
      (this.#interrupt && (this.#running === MAIN || mainIsReady)) ||
      (this.#woken.length > 0 && ran >= this.#interval / 2) ||
      (this.#yielded.length > 0 && ran >= this.#interval)
    );
  }

  /** Nothing runs, is ready, sleeps or waits for the world outside: nobody will ever go on. */
  get isDeadlocked(): boolean {
    return (
      this.#running === null &&
      this.#woken.length === 0 &&
      this.#yielded.length === 0 &&
      this.#waitingOutside === 0 &&
      !this.#timers.some(({ fiber, generation }) => this.#isCurrent(fiber, generation))
    );
  }

  /** Both kinds wait: the woken ones had an interval, and so waited the first that gave way. */
  #yieldedIsDue(now: number): boolean {
    const first = this.#yielded.peek();
    if (!first) return false;
    return now - first.since >= this.#interval && now - this.#wokenTurn >= this.#interval;
  }

  #isCurrent(fiber: FiberId, generation: number): boolean {
    const slot = this.#fibers[fiber - 1];
    return slot.generation === generation && slot.state === "blocked" && slot.deadline !== null;
  }

  /** Timed waits that end early leave their timers behind; half of the heap may be such. */
  #dropStaleTimers(): void {
    if (this.#timers.length > 64 + 2 * this.#live)
      this.#timers.keep(({ fiber, generation }) => this.#isCurrent(fiber, generation));
  }
}
