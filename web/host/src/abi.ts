// Results as the canonical ABI puts them into guest memory: `result<T, errno>` is a byte that tells
// which of the two it is, and then, at T's alignment, T or the errno.

import { OK, type Errno } from "./errno.ts";
import type { GuestMemory } from "./memory.ts";

export type Realloc = (old: number, oldSize: number, alignment: number, size: number) => number;

export class Abi {
  readonly memory: GuestMemory;
  #realloc: Realloc | null = null;

  constructor(memory: GuestMemory) {
    this.memory = memory;
  }

  attach(realloc: Realloc): void {
    this.#realloc = realloc;
  }

  /** `result<_, errno>`, or any result that is an error; `align` is that of the value. */
  done(out: number, errno: Errno, align: 2 | 4 | 8 = 2): void {
    const at = out >>> 0;
    const view = this.memory.view;
    view.setUint8(at, errno === OK ? 0 : 1);
    view.setUint16(at + align, errno, true);
  }

  /** `result<u32, errno>` that is a value. */
  number(out: number, value: number): void {
    const at = out >>> 0;
    const view = this.memory.view;
    view.setUint8(at, 0);
    view.setUint32(at + 4, value, true);
  }

  /** `result<list<u8>, errno>` that is a value. */
  bytes(out: number, bytes: Uint8Array): void {
    this.list((out >>> 0) + 4, bytes);
    this.memory.view.setUint8(out >>> 0, 0);
  }

  /** `list<u8>` or `string`. */
  list(out: number, bytes: Uint8Array): void {
    const address = this.#allocate(1, bytes.length);
    if (bytes.length > 0) this.memory.bytes.set(bytes, address);
    this.#place(out, address, bytes.length);
  }

  /** A list of records, each of which `put` writes. */
  records(out: number, count: number, size: number, align: number, put: (at: number, index: number) => void): void {
    const address = this.#allocate(align, count * size);
    for (let i = 0; i < count; i++) put(address + i * size, i);
    this.#place(out, address, count);
  }

  #allocate(align: number, size: number): number {
    if (!this.#realloc) throw new Error("a list was lowered before the instance was there");
    return size > 0 ? this.#realloc(0, 0, align, size) >>> 0 : align;
  }

  #place(out: number, address: number, count: number): void {
    const view = this.memory.view;
    view.setUint32(out >>> 0, address, true);
    view.setUint32((out >>> 0) + 4, count, true);
  }
}
