// The standard library's zip for a page: every member deflated, for the way. The recipe stores those that are
// compiled, since a disk is faster than inflating.

import { deflateRawSync, inflateRawSync } from "node:zlib";

const [LOCAL, CENTRAL, END] = [0x04034b50, 0x02014b50, 0x06054b50];
const DEFLATED = 8;

export function deflated(zip: Buffer): Buffer<ArrayBuffer> {
  const end = zip.lastIndexOf(Buffer.from(Uint32Array.of(END).buffer));
  if (end === -1) throw new Error("python313.zip is no zip");
  const members: Buffer[] = [];
  const directory: Buffer[] = [];
  let offset = 0;
  let at = zip.readUInt32LE(end + 16);
  for (let count = zip.readUInt16LE(end + 10); count > 0; count--) {
    if (zip.readUInt32LE(at) !== CENTRAL) throw new Error("python313.zip is damaged");
    const nameLength = zip.readUInt16LE(at + 28);
    const length = 46 + nameLength + zip.readUInt16LE(at + 30) + zip.readUInt16LE(at + 32);
    const entry = Buffer.from(zip.subarray(at, at + length));
    const { header, data } = member(zip, entry);
    for (const [buffer, from] of [
      [header, 8],
      [entry, 10],
    ] as const) {
      buffer.writeUInt16LE(DEFLATED, from);
      buffer.writeUInt32LE(data.length, from + 10);
    }
    entry.writeUInt32LE(offset, 42);
    members.push(header, data);
    directory.push(entry);
    offset += header.length + data.length;
    at += length;
  }
  const tail = Buffer.from(zip.subarray(end));
  tail.writeUInt32LE(directory.reduce((sum, { length }) => sum + length, 0), 12);
  tail.writeUInt32LE(offset, 16);
  return Buffer.concat([...members, ...directory, tail]);
}

/** A member's local header and its data, deflated. */
function member(zip: Buffer, entry: Buffer): { header: Buffer; data: Buffer } {
  const start = entry.readUInt32LE(42);
  if (zip.readUInt32LE(start) !== LOCAL) throw new Error("python313.zip is damaged");
  const headerLength = 30 + zip.readUInt16LE(start + 26) + zip.readUInt16LE(start + 28);
  const header = Buffer.from(zip.subarray(start, start + headerLength));
  const packed = zip.subarray(start + headerLength, start + headerLength + entry.readUInt32LE(20));
  const plain = entry.readUInt16LE(10) === DEFLATED ? inflateRawSync(packed) : packed;
  return { header, data: deflateRawSync(plain, { level: 9 }) };
}
