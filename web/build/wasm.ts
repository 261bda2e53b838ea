// As much of WebAssembly's binary format as rewrite.ts needs.

export type Bytes = Uint8Array | number[];

/** An unsigned number. */
export function leb(value: number): number[] {
  const bytes = [];
  for (; value > 0x7f; value = Math.floor(value / 128)) bytes.push((value % 128) | 0x80);
  return [...bytes, value];
}

export function text(value: string): number[] {
  const bytes = new TextEncoder().encode(value);
  return [...leb(bytes.length), ...bytes];
}

export function section(id: number, parts: Bytes[]): Uint8Array {
  const body = Buffer.concat(parts.map((part) => Uint8Array.from(part)));
  return Buffer.concat([Uint8Array.from([id, ...leb(body.length)]), body]);
}

export interface Instruction {
  opcode: number;
  /** Of a load or a store. */
  offset: number | null;
}

export class Reader {
  position: number;
  #bytes: Uint8Array;
  #afterCount = 0;

  constructor(bytes: Uint8Array, position: number) {
    this.#bytes = bytes;
    this.position = position;
  }

  get isAtEnd(): boolean {
    return this.position >= this.#bytes.length;
  }

  byte(): number {
    if (this.isAtEnd) throw new Error("the WebAssembly module ends too early");
    return this.#bytes[this.position++];
  }

  bytes(length: number): Uint8Array {
    this.position += length;
    if (this.position > this.#bytes.length) throw new Error("the WebAssembly module ends too early");
    return this.#bytes.subarray(this.position - length, this.position);
  }

  /** An unsigned number; of a signed one only its end matters. */
  number(): number {
    const isFirst = this.position === 0;
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = this.byte();
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) break;
    }
    if (isFirst) this.#afterCount = this.position;
    return value;
  }

  text(): string {
    return new TextDecoder().decode(this.bytes(this.number()));
  }

  /** To where the first number of a section ended. */
  rewindAfterCount(): void {
    this.position = this.#afterCount;
  }

  /** All that follows. */
  rest(): Uint8Array {
    return this.#bytes.subarray(this.position);
  }

  locals(): void {
    for (let groups = this.number(); groups > 0; groups--) {
      this.number();
      this.byte();
    }
  }

  /** The value of an expression that is one `i32.const`, as an address. */
  constant(): number {
    if (this.byte() !== 0x41) throw new Error("a data segment of the core module has no fixed address");
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = this.byte();
      value |= (byte & 0x7f) << shift;
      if (byte >= 0x80) continue;
      if (byte & 0x40 && shift + 7 < 32) value |= -1 << (shift + 7);
      break;
    }
    if (this.byte() !== 0x0b) throw new Error("a data segment of the core module has no fixed address");
    return value >>> 0;
  }

  instruction(): Instruction {
    const opcode = this.byte();
    let offset = null;
    const numbers = (count: number) => {
      for (; count > 0; count--) this.number();
    };
    if (opcode >= 0x28 && opcode <= 0x3e) {
      this.number();
      offset = this.number();
    } else if (opcode === 0x0e) numbers(this.number() + 1);
    else if (opcode === 0x11) numbers(2);
    else if (opcode === 0x1c) numbers(this.number());
    else if (opcode === 0x43) this.bytes(4);
    else if (opcode === 0x44) this.bytes(8);
    else if (opcode === 0xfc) this.#bulk();
    else if (HAS_ONE_NUMBER.has(opcode)) numbers(1);
    else if (!hasNone(opcode))
      throw new Error(`build/wasm.ts does not know the instruction 0x${opcode.toString(16)}`);
    return { opcode, offset };
  }

  #bulk(): void {
    const kind = this.number();
    // memory.init, data.drop, memory.copy, memory.fill; below are conversions.
    const counts: Record<number, number> = { 8: 2, 9: 1, 10: 2, 11: 1 };
    if (kind > 11) throw new Error(`build/wasm.ts does not know the instruction 0xfc ${kind}`);
    for (let count = counts[kind] ?? 0; count > 0; count--) this.number();
  }
}

/** Blocks (with their type), branches, calls, variables, constants, memory.size and memory.grow. */
const HAS_ONE_NUMBER = new Set([
  0x02, 0x03, 0x04, 0x0c, 0x0d, 0x10, 0x12, 0x20, 0x21, 0x22, 0x23, 0x24, 0x3f, 0x40, 0x41, 0x42,
]);

function hasNone(opcode: number): boolean {
  return (
    [0x00, 0x01, 0x05, 0x0b, 0x0f, 0x1a, 0x1b].includes(opcode) || (opcode >= 0x45 && opcode <= 0xc4)
  );
}
