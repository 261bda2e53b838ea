// What fibers wait for beyond the standard streams: readiness as poll(2) has it, and pollers, as epoll(7).

import type { FiberId } from "./scheduler.ts";

/** Flags of `readiness` in wit/world.wit. */
export const READABLE = 1;
export const WRITABLE = 2;
export const ERROR = 4;
export const HANGUP = 8;
export const READ_HANGUP = 16;

/** An error or the end of a connection is for everybody. */
const always = (interest: number) => interest | ERROR | HANGUP;

export type Notify = (fiber: FiberId) => void;

/** What a handle of the guest can be. */
export abstract class Waitable {
  protected readonly notify: Notify;
  /** Each with what it waits for. A fiber that has gone on since is still here: the scheduler knows. */
  #waiters = new Map<FiberId, number>();
  readonly pollers = new Set<Poller>();

  constructor(notify: Notify) {
    this.notify = notify;
  }

  /** What it is ready for now. */
  abstract get ready(): number;

  isReadyFor(interest: number): boolean {
    return (this.ready & always(interest)) !== 0;
  }

  wait(fiber: FiberId, interest: number): void {
    this.#waiters.set(fiber, interest);
  }

  /** Something has happened to it. */
  changed(bits: number): void {
    for (const [fiber, interest] of this.#waiters)
      if (always(interest) & bits) {
        this.#waiters.delete(fiber);
        this.notify(fiber);
      }
    for (const poller of this.pollers) poller.tell(this, bits);
  }

  close(): void {
    this.changed(~0);
    for (const poller of this.pollers) poller.forget(this);
  }
}

interface Watch {
  handle: number;
  interest: number;
  /** It goes on after it was told of. */
  edge: boolean;
}

export class Poller extends Waitable {
  #watches = new Map<Waitable, Watch>();
  /** Those to tell of, first come first. */
  #queue = new Set<Waitable>();

  get ready(): number {
    return this.#queue.size > 0 ? READABLE : 0;
  }

  /** In place of an earlier watch; one without interest only ends that. */
  watch(socket: Waitable, watch: Watch): void {
    this.forget(socket);
    if (watch.interest === 0) return;
    this.#watches.set(socket, watch);
    socket.pollers.add(this);
    this.tell(socket, socket.ready);
  }

  tell(socket: Waitable, bits: number): void {
    if (!(always(this.#watches.get(socket)?.interest ?? 0) & bits)) return;
    this.#queue.add(socket);
    this.changed(READABLE);
  }

  forget(socket: Waitable): void {
    this.#watches.delete(socket);
    this.#queue.delete(socket);
    socket.pollers.delete(this);
  }

  /** Handles with what they are ready for. */
  take(max: number): [number, number][] {
    const told: [number, number][] = [];
    for (const socket of this.#queue) {
      if (told.length >= max) break;
      this.#queue.delete(socket);
      const watch = this.#watches.get(socket);
      // Somebody else may have taken what there was; then it goes on being watched.
      const bits = socket.ready & always(watch?.interest ?? 0);
      if (!watch || bits === 0) continue;
      if (!watch.edge) this.forget(socket);
      told.push([watch.handle, bits]);
    }
    return told;
  }

  override close(): void {
    super.close();
    for (const socket of this.#watches.keys()) this.forget(socket);
  }
}
