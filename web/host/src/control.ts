// The words of guest memory that the host reads and writes without a call (`fibers.control`).

import type { GuestMemory } from "./memory.ts";
import type { FiberId } from "./scheduler.ts";

const WORDS = 8;
const VERSION = 4;
/** Of what V8 gives a suspended stack, in the guest's bytes, which were measured for wasmtime's code. Of the ways to
 * recurse in guest/tests/recursion_paths.py the first one fails between 1.0 and 1.25 million. */
const NATIVE_STACK = 720_000;
/** How many fibers the guest's list of woken ones has room for. */
const WOKEN_MAX = 31;

export class Control {
  #memory: GuestMemory;
  #address: number;
  #tstate: number;
  readonly breakerOffset: number;
  #breakerBit: number;
  #woken: number;

  constructor(memory: GuestMemory, address: number, length: number) {
    const word = (i: number) => memory.view.getUint32(address + 4 * i, true);
    if (length !== WORDS * 4 || address % 4 !== 0)
      throw new Error("this Python's control block is malformed");
    if (word(0) !== VERSION)
      throw new Error(
        `this Python's control block has version ${word(0)}, this host knows ${VERSION}: ` +
          "take both from the same build",
      );
    if (word(5) > NATIVE_STACK) memory.view.setUint32(address + 20, NATIVE_STACK, true);
    this.#memory = memory;
    this.#address = address;
    this.#tstate = word(1);
    this.breakerOffset = word(2);
    this.#breakerBit = word(3);
    this.#woken = word(6);
  }

  /** `sys.getswitchinterval()`, in nanoseconds. */
  get interval(): number {
    return Math.max(1, this.#memory.view.getUint32(this.#address + 16, true)) * 1000;
  }

  /** Asks the running Python thread, if there is one, to give way at its next bytecode boundary. */
  askToGiveWay(): void {
    const view = this.#memory.view;
    const tstate = view.getUint32(this.#tstate, true);
    if (tstate === 0) return;
    const breaker = tstate + this.breakerOffset;
    view.setUint32(breaker, view.getUint32(breaker, true) | this.#breakerBit, true);
  }

  /** Calls `wake` for each fiber that the guest has woken since the last time. */
  takeWoken(wake: (fiber: FiberId) => void): void {
    const view = this.#memory.view;
    const count = view.getUint32(this.#woken, true);
    if (count === 0) return;
    view.setUint32(this.#woken, 0, true);
    for (let i = 1; i <= Math.min(count, WOKEN_MAX); i++)
      wake(view.getUint32(this.#woken + 4 * i, true));
  }
}
