// The three standard streams. The guest never waits in a call of the host: it is told EAGAIN, and
// subscribes.

import type { FiberId } from "./scheduler.ts";

/** Bytes of output that the page has not acknowledged, at most. */
const CAPACITY = 1 << 20;

export class Stdin {
  readonly isTerminal: boolean;
  #chunks: Uint8Array[] = [];
  #ended = false;
  #waiting = new Set<FiberId>();
  #notify: (fiber: FiberId) => void;

  constructor(isTerminal: boolean, notify: (fiber: FiberId) => void) {
    this.isTerminal = isTerminal;
    this.#notify = notify;
  }

  /** More input, or null: its end. */
  push(bytes: Uint8Array | null): void {
    if (bytes === null) this.#ended = true;
    else if (bytes.length > 0) this.#chunks.push(bytes);
    wakeAll(this.#waiting, this.#notify);
  }

  /** At most `length` bytes; none at the end; null: nothing is there yet. */
  read(length: number): Uint8Array | null {
    const first = this.#chunks[0];
    if (!first) return this.#ended ? new Uint8Array(0) : null;
    if (length < first.length) this.#chunks[0] = first.subarray(length);
    else this.#chunks.shift();
    return first.subarray(0, length);
  }

  /** True: it can be read already. */
  subscribe(fiber: FiberId): boolean {
    if (this.#chunks.length > 0 || this.#ended) return true;
    this.#waiting.add(fiber);
    return false;
  }
}

export type Send = (fd: 1 | 2, bytes: Uint8Array<ArrayBuffer>) => void;

/** stdout and stderr, which share what may be on its way. */
export class Outputs {
  readonly isTerminal: boolean;
  #send: Send;
  #onTheirWay = 0;
  #waiting = new Set<FiberId>();
  #notify: (fiber: FiberId) => void;

  constructor(isTerminal: boolean, send: Send, notify: (fiber: FiberId) => void) {
    this.isTerminal = isTerminal;
    this.#send = send;
    this.#notify = notify;
  }

  get room(): number {
    return CAPACITY - this.#onTheirWay;
  }

  /** No more than there is room for. */
  write(fd: 1 | 2, bytes: Uint8Array<ArrayBuffer>): void {
    this.#onTheirWay += bytes.length;
    this.#send(fd, bytes);
  }

  /** The page has shown so many bytes. */
  acknowledge(bytes: number): void {
    this.#onTheirWay -= bytes;
    wakeAll(this.#waiting, this.#notify);
  }

  /** True: it can be written already. */
  subscribe(fiber: FiberId): boolean {
    if (this.room > 0) return true;
    this.#waiting.add(fiber);
    return false;
  }
}

function wakeAll(waiting: Set<FiberId>, notify: (fiber: FiberId) => void): void {
  const fibers = [...waiting];
  waiting.clear();
  for (const fiber of fibers) notify(fiber);
}
