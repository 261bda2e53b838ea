// A thread's Python stack, read from guest memory while no fiber runs, as debuggers do it: CPython says in
// `_Py_DebugOffsets` where its structures have what. Nothing of the program runs for it.

import type { GuestMemory } from "./memory.ts";

export interface Frame {
  file: string;
  line: number;
  /** With its class, as in `Thread.run`. */
  name: string;
}

/** The numbers of CPython 3.13's table that are used, by their position in it. */
const OFFSETS = {
  interpretersHead: 40,
  threadsHead: 72,
  threadNext: 168,
  threadFrame: 184,
  threadId: 192,
  framePrevious: 232,
  frameExecutable: 240,
  frameInstruction: 248,
  frameOwner: 264,
  codeFile: 280,
  codeName: 296,
  codeLineTable: 304,
  codeFirstLine: 312,
  codeStart: 344,
  bytesSize: 520,
  bytesStart: 528,
  textState: 544,
  textLength: 552,
  textSize: 560,
};
type Offsets = typeof OFFSETS;

/** "xdebugpy", at the start of the table. */
const COOKIE = [0x62656478, 0x79706775];
const VERSION = 0x030d;
/** A frame of C's own between Python's. */
const OWNED_BY_C = 3;
/** A damaged guest could have frames in a circle. */
const MOST_FRAMES = 200;
const MOST_THREADS = 100_000;

/** Frames of the thread that `thread` is (`pthread_t`; 0: the main thread), the innermost first. None if it
 * has left Python. */
export function stackOf(memory: GuestMemory, thread: number): Frame[] {
  const { view } = memory;
  const runtime = findRuntime(memory);
  if (runtime === null) return [];
  const at = Object.fromEntries(
    Object.entries(OFFSETS).map(([name, position]) => [name, view.getUint32(runtime + position, true)]),
  ) as Offsets;
  const word = (address: number) => view.getUint32(address, true);
  const interpreter = word(runtime + at.interpretersHead);
  let found = 0;
  let state = word(interpreter + at.threadsHead);
  for (let i = 0; state !== 0 && i < MOST_THREADS; i++, state = word(state + at.threadNext)) {
    // New ones are put at the head: the main thread is the last.
    if (thread === 0 || word(state + at.threadId) === thread) found = state;
    if (thread !== 0 && found !== 0) break;
  }
  if (found === 0) return [];
  const frames: Frame[] = [];
  let frame = word(found + at.threadFrame);
  for (; frame !== 0 && frames.length < MOST_FRAMES; frame = word(frame + at.framePrevious))
    if (view.getUint8(frame + at.frameOwner) !== OWNED_BY_C) frames.push(describe(view, at, frame));
  return frames;
}

/** Where `_PyRuntime` is, which begins with the table. */
function findRuntime({ view }: GuestMemory): number | null {
  const words = new Uint32Array(view.buffer, 0, view.byteLength >> 2);
  for (let at = words.indexOf(COOKIE[0]); at !== -1; at = words.indexOf(COOKIE[0], at + 1))
    if (words[at + 1] === COOKIE[1] && words[at + 2] >>> 16 === VERSION) return at * 4;
  return null;
}

function describe(view: DataView, at: Offsets, frame: number): Frame {
  const word = (address: number) => view.getUint32(address, true);
  const code = word(frame + at.frameExecutable);
  const unit = (word(frame + at.frameInstruction) - code - at.codeStart) >> 1;
  const table = word(code + at.codeLineTable);
  const lines = new Uint8Array(view.buffer, table + at.bytesStart, word(table + at.bytesSize));
  return {
    file: text(view, at, word(code + at.codeFile)),
    line: lineOf(lines, word(code + at.codeFirstLine), unit),
    name: text(view, at, word(code + at.codeName)),
  };
}

/** The line of an instruction (CPython's InternalDocs/code_objects.md). */
function lineOf(table: Uint8Array, firstLine: number, unit: number): number {
  let line = firstLine;
  let at = 0;
  const number = () => {
    let value = 0;
    for (let shift = 0; ; shift += 6) {
      const byte = table[at++];
      value |= (byte & 63) << shift;
      if (!(byte & 64)) return value;
    }
  };
  for (let start = 0; at < table.length; ) {
    const head = table[at++];
    const code = (head >> 3) & 15;
    if (code === 14 || code === 13) {
      const delta = number();
      line += delta & 1 ? -(delta >> 1) : delta >> 1;
    } else if (code >= 10 && code <= 12) line += code - 10;
    start += (head & 7) + 1;
    if (start > unit) break;
    // Columns, up to the head of the next entry.
    while (at < table.length && !(table[at] & 128)) at++;
  }
  return line;
}

/** A str, of whatever width its characters are. */
function text(view: DataView, at: Offsets, address: number): string {
  const length = view.getUint32(address + at.textLength, true);
  const state = view.getUint32(address + at.textState, true);
  const [width, isCompact, isAscii] = [(state >> 2) & 7, (state >> 5) & 1, (state >> 6) & 1];
  if (!isCompact) return "?";
  // A string that is not ASCII has its UTF-8 form in two words more.
  const start = address + at.textSize + (isAscii ? 0 : 8);
  let characters = "";
  for (let i = 0; i < Math.min(length, 1000); i++) {
    const place = start + i * width;
    if (width === 1) characters += String.fromCharCode(view.getUint8(place));
    else if (width === 2) characters += String.fromCharCode(view.getUint16(place, true));
    else characters += String.fromCodePoint(view.getUint32(place, true));
  }
  return characters;
}
