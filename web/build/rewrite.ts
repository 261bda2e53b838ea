// Prepares Python's core module for a page. The code stays what it is but for two things that a host
// in Rust does from outside and a page cannot:
//
// - The memory is imported, so that its limit is the run's, and so that a run can begin with the image
//   of an interpreter that has started (image.ts). The data segments are an image, too.
// - The interpreter's loop counts the checks of `eval_breaker` and calls `unpark(0)` when the count is
//   spent. Nobody else could interrupt it: a worker that computes hears nothing, and without
//   SharedArrayBuffer no other thread can write into its memory. The host sets the exported `clock`.

import { Reader, leb, section, text, type Bytes } from "./wasm.ts";

/** Offset of `eval_breaker` in PyThreadState, which the host compares with what the guest says. */
const BREAKER_OFFSET = 12;
/** The check is in every kind of call and at every jump back. */
const LEAST_CHECKS = 15;
const UNPARK = ["vtwasm:host/fibers@0.1.0", "unpark"];

/** Tells the host about the module, as JSON. */
export const CUSTOM_SECTION = "vtwasm-web";
const PAGE = 65_536;
export const MEMORY = ["vtwasm:web", "memory"];
export const CLOCK = "clock";

export interface Bare {
  /** The module without its data. */
  module: Uint8Array<ArrayBuffer>;
  /** The data as a memory begins with it. */
  image: Uint8Array;
}

export function rewrite(core: Uint8Array): Bare {
  const out: Bytes[] = [core.subarray(0, 8)];
  const reader = new Reader(core, 8);
  let unpark = -1;
  let clock = -1;
  const pages = firstMemory(core);
  const image = new Uint8Array(pages * PAGE);
  while (!reader.isAtEnd) {
    const id = reader.byte();
    const body = reader.bytes(reader.number());
    const items = new Reader(body, 0);
    const count = [2, 6, 7, 10].includes(id) ? items.number() : 0;
    if (id === 2) {
      unpark = functionImport(items, count);
      const memory = [...text(MEMORY[0]), ...text(MEMORY[1]), 2, 0, ...leb(pages)];
      out.push(section(id, [leb(count + 1), items.rest(), memory]));
    } else if (id === 5) {
      continue;
    } else if (id === 6) {
      clock = count;
      // A mutable i32 that begins with 1.
      out.push(section(id, [leb(count + 1), items.rest(), [0x7f, 1, 0x41, 1, 0x0b]]));
    } else if (id === 7) {
      out.push(section(id, [leb(count + 1), items.rest(), [...text(CLOCK), 3, ...leb(clock)]]));
    } else if (id === 11) {
      place(items, image);
    } else if (id === 10) {
      out.push(section(id, [leb(count), ...functions(items, count, clock, unpark)]));
    } else {
      out.push(section(id, [body]));
    }
  }
  const about = JSON.stringify({ breakerOffset: BREAKER_OFFSET });
  out.push(section(0, [text(CUSTOM_SECTION), new TextEncoder().encode(about)]));
  return { module: Uint8Array.from(Buffer.concat(out.map((bytes) => Uint8Array.from(bytes)))), image };
}

/** Puts the segments where they are in a memory that begins. */
function place(items: Reader, image: Uint8Array): void {
  for (let count = items.number(); count > 0; count--) {
    if (items.number() !== 0) throw new Error("the core module has data that is not there from the start");
    const address = items.constant();
    image.set(items.bytes(items.number()), address);
  }
}

/** Its pages at the start. */
function firstMemory(core: Uint8Array): number {
  const reader = new Reader(core, 8);
  while (!reader.isAtEnd) {
    const id = reader.byte();
    const items = new Reader(reader.bytes(reader.number()), 0);
    if (id !== 5) continue;
    if (items.number() !== 1 || items.byte() !== 0) break;
    return items.number();
  }
  throw new Error("the core module must have one memory without a limit");
}

/** The number of the function `unpark`; all imports must be functions. */
function functionImport(items: Reader, count: number): number {
  let found = -1;
  for (let i = 0; i < count; i++) {
    const name = [items.text(), items.text()];
    if (items.byte() !== 0) throw new Error(`the core module imports ${name.join(".")}, no function`);
    items.number();
    if (name[0] === UNPARK[0] && name[1] === UNPARK[1]) found = i;
  }
  if (found === -1) throw new Error(`the core module does not import ${UNPARK.join(".")}`);
  items.rewindAfterCount();
  return found;
}

/** The bodies of all functions, the largest one, which is the interpreter's loop, with a clock. */
function functions(items: Reader, count: number, clock: number, unpark: number): Bytes[] {
  const bodies = Array.from({ length: count }, () => items.bytes(items.number()));
  const loop = bodies.reduce((largest, body) => (body.length > largest.length ? body : largest));
  return bodies.flatMap((body) => {
    const changed: Bytes[] = body === loop ? withClock(body, clock, unpark) : [body];
    return [leb(changed.reduce((sum, part) => sum + part.length, 0)), ...changed];
  });
}

function withClock(body: Uint8Array, clock: number, unpark: number): Bytes[] {
  const [get, set] = [
    [0x23, ...leb(clock)],
    [0x24, ...leb(clock)],
  ];
  // clock -= 1; if (clock == 0) unpark(0). The address of eval_breaker stays on the stack below.
  const count = [...get, 0x41, 1, 0x6b, ...set, ...get, 0x45, 0x04, 0x40];
  const check = [...count, 0x41, 0, 0x10, ...leb(unpark), 0x0b];
  const reader = new Reader(body, 0);
  reader.locals();
  const parts: Bytes[] = [];
  let copied = 0;
  while (!reader.isAtEnd) {
    const at = reader.position;
    const { opcode, offset } = reader.instruction();
    // i32.load8_u
    if (opcode !== 0x2d || offset !== BREAKER_OFFSET) continue;
    parts.push(body.subarray(copied, at), check);
    copied = at;
  }
  if (parts.length < 2 * LEAST_CHECKS)
    throw new Error(
      `the interpreter's loop has ${parts.length / 2} checks of eval_breaker at offset ` +
        `${BREAKER_OFFSET}, at least ${LEAST_CHECKS} were expected: see build/rewrite.ts`,
    );
  parts.push(body.subarray(copied));
  return parts;
}
