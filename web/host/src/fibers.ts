// The scheduler joined with JSPI: a fiber that parks is a promise, which resolves when the scheduler
// picks its fiber. At most one such promise is settled at any time, so the order is the scheduler's.

import { Clock } from "./clock.ts";
import type { Control } from "./control.ts";
import { Stop, type Outcome } from "./outcome.ts";
import type { Trace } from "./trace.ts";
import {
  MAIN,
  Scheduler,
  WAKES,
  type FiberId,
  type Pick,
  type Reason,
  type Wake,
} from "./scheduler.ts";

/** Milliseconds after which the worker's event loop has its turn, however busy the fibers are: else
 * fibers that hand over to each other would keep out stdin, interrupts and timers. */
const TURN_MS = 4;

/** Starts the guest's `run-thread`; the promise is that of its end. */
export type StartThread = (thread: number) => Promise<void>;

export class Fibers {
  readonly scheduler: Scheduler;
  readonly ended: Promise<Outcome>;
  readonly clock = new Clock();
  control: Control | null = null;
  threads = 1;
  #startThread: StartThread;
  #takesTurns: boolean;
  #isPaused = false;
  #trace: Trace | null = null;
  #end: (outcome: Outcome) => void = () => {};
  #isOver = false;
  #isDeadlocked = false;
  /** What lets a parked fiber go on. */
  #parked = new Map<FiberId, (wake: number) => void>();
  /** A fiber that goes on at the next turn of the event loop. */
  #next: Pick | null = null;
  #channel = new MessageChannel();
  #turnIsDue = false;
  #lastTurn = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #started = performance.now();
  #lastNow = 0;
  #busySince: number | null = 0;
  #busy = 0;

  /** Without turns of the event loop a run that never waits never parks. */
  constructor(maxThreads: number, takesTurns: boolean, startThread: StartThread) {
    this.#takesTurns = takesTurns;
    this.scheduler = new Scheduler(maxThreads);
    this.#startThread = startThread;
    this.ended = new Promise((resolve) => {
      this.#end = resolve;
    });
    this.#channel.port1.onmessage = () => this.#turn();
  }

  /** Nanoseconds since the sandbox was made. A browser's clock has steps of 0.1 ms; this one goes on in
   * between, so that no sleep seems to be shorter than it was to be. */
  now(): number {
    const now = Math.round((performance.now() - this.#started) * 1e6);
    this.#lastNow = Math.max(now, this.#lastNow + 1);
    return this.#lastNow;
  }

  /** Nanoseconds in which some fiber ran. A browser has no clock of CPU time. */
  cpuTime(): number {
    return this.#busy + (this.#busySince === null ? 0 : this.now() - this.#busySince);
  }

  // ---- what the guest does ----

  spawn(thread: number): FiberId {
    this.#takeWoken();
    const fiber = this.scheduler.spawn(thread) ?? 0;
    if (fiber !== 0) this.threads += 1;
    return fiber;
  }

  /** What `park` returns, at once if it is this fiber's turn again. */
  park(reason: Reason, subject: number, deadline: number | null): number | Promise<number> {
    const now = this.now();
    if (this.#trace) this.#trace.subject = subject;
    this.#takeWoken();
    const fiber = this.scheduler.running;
    if (fiber !== null && reason === "preempt") {
      this.scheduler.expire(now);
      // It was asked to for the sake of the event loop alone: it is still its turn.
      if (!this.scheduler.shouldPreempt(now)) return this.#letEventLoopTurn(fiber, now);
    }
    this.scheduler.block(now, reason, deadline);
    this.scheduler.expire(now);
    const pick = this.scheduler.pick(now);
    if (pick && pick.fiber === fiber && "resume" in pick && !this.#needsTurn(now))
      return WAKES.indexOf(pick.resume);
    const parked = this.#parkedFiber(fiber);
    this.#go(pick, now);
    return parked;
  }

  #letEventLoopTurn(fiber: FiberId, now: number): number | Promise<number> {
    if (!this.#needsTurn(now)) return WAKES.indexOf("ready");
    this.#next = { fiber, resume: "ready" };
    this.#turnSoon();
    return this.#parkedFiber(fiber);
  }

  /** What `park` of the fiber will return. A guest that parks while nobody runs stays there. */
  #parkedFiber(fiber: FiberId | null): Promise<number> {
    return new Promise((resolve) => {
      if (fiber !== null) this.#parked.set(fiber, resolve);
    });
  }

  unpark(fiber: FiberId): void {
    this.#takeWoken();
    this.scheduler.wake(fiber, "ready");
  }

  finish(): void {
    const now = this.now();
    this.#takeWoken();
    this.scheduler.finish();
    this.scheduler.expire(now);
    this.#go(this.scheduler.pick(now), now);
  }

  /** The clock of the interpreter's loop has run down. */
  clockTick(): void {
    const now = this.now();
    this.clock.wind(now);
    this.tick(now);
  }

  /** At a call of the guest: asks the running fiber to give way if it should. */
  tick(now = this.now()): void {
    if (!this.control) return;
    this.#takeWoken();
    this.scheduler.setInterval(this.control.interval);
    this.scheduler.expire(now);
    if (this.scheduler.shouldPreempt(now) || this.#needsTurn(now)) this.control.askToGiveWay();
  }

  // ---- from outside ----

  /** Something happened outside that the fiber subscribed to. */
  notify(fiber: FiberId): void {
    this.scheduler.notify(fiber);
    this.#turnSoon();
  }

  interrupt(): void {
    this.#isPaused = false;
    this.scheduler.interrupt();
    this.#turnSoon();
  }

  /** Lets no fiber run until it is taken back. To be called while none runs. */
  pause(isPaused: boolean): void {
    this.#isPaused = isPaused;
    this.#turnSoon();
  }

  /** Tells of every change from now on. */
  watch(trace: Trace): void {
    this.#trace = trace;
    trace.record(MAIN, "running");
    this.scheduler.onChange = (fiber, change) => trace.record(fiber, change);
  }

  /** The run is over: nothing goes on. */
  end(outcome: Outcome): void {
    if (this.#isOver) return;
    this.#isOver = true;
    clearTimeout(this.#timer);
    this.#channel.port1.close();
    this.#trace?.flush();
    // It has only come to its end to report.
    const deadlocked = this.#isDeadlocked && outcome.type === "exited";
    this.#end(deadlocked ? { type: "deadlocked" } : outcome);
  }

  /** The run is over because of what an import or WebAssembly threw. */
  endWith(error: unknown): void {
    if (error instanceof Stop) this.end(error.outcome);
    else this.end({ type: "trapped", message: error instanceof Error ? error.message : String(error) });
  }

  // ---- turns ----

  #takeWoken(): void {
    this.control?.takeWoken((fiber) => this.scheduler.wake(fiber, "ready"));
  }

  #needsTurn(now: number): boolean {
    return this.#takesTurns && now - this.#lastTurn >= TURN_MS * 1e6;
  }

  #turnSoon(): void {
    if (this.#turnIsDue || this.#isOver) return;
    this.#turnIsDue = true;
    this.#channel.port2.postMessage(null);
  }

  /** The event loop has had its turn. */
  #turn(): void {
    this.#turnIsDue = false;
    if (this.#isOver) return;
    const now = this.now();
    this.#lastTurn = now;
    this.#trace?.flush();
    if (this.#isPaused) return;
    const next = this.#next;
    this.#next = null;
    if (next) return this.#go(next, now);
    if (this.scheduler.running !== null) return;
    this.scheduler.expire(now);
    this.#go(this.scheduler.pick(now), now);
  }

  /** Lets the picked fiber go on, as soon as the running one is off the stack. */
  #go(pick: Pick | null, now: number): void {
    if (this.#isOver) return;
    if (!pick) return this.#idle(now);
    this.#busySince ??= now;
    if (this.#needsTurn(now)) {
      this.#next = pick;
      this.#turnSoon();
    } else if ("start" in pick) {
      queueMicrotask(() => {
        this.#startThread(pick.start).catch((error: unknown) => this.endWith(error));
      });
    } else {
      this.#resume(pick.fiber, pick.resume);
    }
  }

  #resume(fiber: FiberId, wake: Wake): void {
    const resolve = this.#parked.get(fiber);
    this.#parked.delete(fiber);
    resolve?.(WAKES.indexOf(wake));
  }

  #idle(now: number): void {
    if (this.#busySince !== null) this.#busy += now - this.#busySince;
    this.#busySince = null;
    this.#trace?.flush();
    if (this.scheduler.isDeadlocked) return this.#reportDeadlock(now);
    const deadline = this.scheduler.nextDeadline;
    clearTimeout(this.#timer);
    if (deadline === null) return;
    const wait = (deadline - now) / 1e6;
    // A timer is exact to a millisecond; turns of the event loop do the rest. A turn in between also
    // keeps timers from nesting, which makes browsers delay them to 4 ms.
    if (wait < 1) this.#turnSoon();
    else this.#timer = setTimeout(() => this.#turnSoon(), Math.min(Math.floor(wait), 2 ** 31 - 1));
  }

  /** The main fiber reports it and ends the run. */
  #reportDeadlock(now: number): void {
    this.#isDeadlocked = true;
    this.scheduler.wake(MAIN, "deadlocked");
    const pick = this.scheduler.pick(now);
    if (pick) this.#go(pick, now);
    else this.end({ type: "deadlocked" });
  }
}
