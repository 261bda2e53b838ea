// The clock of the interpreter's loop (build/rewrite.ts): how many checks it makes until its next tick.

import type { Control } from "./control.ts";

/** Nanoseconds between ticks, about. */
const WANTED = 500_000;
/** At least and at most so many checks: a program whose checks become slow all of a sudden has its tick late. */
const OF_LOOP = { least: 1, most: 4096 };
/** Of those that the module has itself, as in the host in Rust. */
const OF_MODULE = { least: 2_000, most: 100_000 };

export class Clock {
  #global: WebAssembly.Global | null = null;
  #breakerOffset = 0;
  #checks = OF_MODULE.least;
  #limits = OF_MODULE;
  #last = 0;

  /** The module has no checks but those of build/rewrite.ts. */
  attach(global: WebAssembly.Global, breakerOffset: number): void {
    this.#global = global;
    this.#limits = OF_LOOP;
    this.#checks = 64;
    this.#breakerOffset = breakerOffset;
  }

  /** The guest says where `eval_breaker` is. */
  check(control: Control): void {
    if (this.#global && control.breakerOffset !== this.#breakerOffset)
      throw new Error(
        `eval_breaker is at offset ${control.breakerOffset}, but the clock of the interpreter's loop ` +
          `was put at ${this.#breakerOffset}: correct web/build/rewrite.ts`,
      );
  }

  /** Checks until the next tick, fewer if the last one was late. */
  wind(now: number): number {
    const { least, most } = this.#limits;
    const elapsed = now - this.#last;
    this.#last = now;
    if (elapsed > 2 * WANTED) this.#checks = Math.max(least, this.#checks >> 2);
    else if (elapsed < WANTED) this.#checks = Math.min(most, this.#checks * 2);
    if (this.#global) this.#global.value = this.#checks;
    return this.#checks;
  }
}
