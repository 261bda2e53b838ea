// The clock of the interpreter's loop (build/rewrite.ts): how many checks it makes until its next tick.

import type { Control } from "./control.ts";

/** Nanoseconds between ticks, about. */
const WANTED = 500_000;
/** At most so many checks: a program whose checks become slow all of a sudden has its tick late. */
const MOST = 4096;

export class Clock {
  #global: WebAssembly.Global | null = null;
  #breakerOffset = 0;
  #checks = 64;
  #last = 0;

  attach(global: WebAssembly.Global, breakerOffset: number): void {
    this.#global = global;
    this.#breakerOffset = breakerOffset;
  }

  /** The guest says where `eval_breaker` is. */
  check(control: Control): void {
    if (control.breakerOffset !== this.#breakerOffset)
      throw new Error(
        `eval_breaker is at offset ${control.breakerOffset}, but the clock of the interpreter's loop ` +
          `was put at ${this.#breakerOffset}: correct web/build/rewrite.ts`,
      );
  }

  /** Sets it for its next tick, sooner if the last one was late. */
  wind(now: number): void {
    if (!this.#global) return;
    const elapsed = now - this.#last;
    this.#last = now;
    if (elapsed > 2 * WANTED) this.#checks = Math.max(1, this.#checks >> 2);
    else if (elapsed < WANTED) this.#checks = Math.min(MOST, this.#checks * 2);
    this.#global.value = this.#checks;
  }
}
