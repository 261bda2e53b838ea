// Python's files as a page loads them: packed, and named by what is in them, so that a browser may keep them.

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import type { PartName, Parts } from "../host/src/parts.ts";
import { makeImage } from "./image.ts";
import { rewrite } from "./rewrite.ts";
import { deflated } from "./zip.ts";

/** What says which files there are. */
const INDEX = "python.json";

/** From the folder that `cargo xtask python` prints: contents by name. */
export async function makeParts(folder: string): Promise<Map<string, Uint8Array>> {
  const library = deflated(readFileSync(join(folder, "python313.zip")));
  const { module, image } = rewrite(readFileSync(join(folder, "python.core.wasm")));
  const warm = await makeImage(module, image, library);
  const plain: Record<PartName, Uint8Array> = { core: module, warm, cold: image, library };
  const files = new Map<string, Uint8Array>();
  const index: Partial<Parts> = {};
  for (const [name, bytes] of Object.entries(plain) as [PartName, Uint8Array][]) {
    // A worker reads the library in the middle of a call, when nothing can be unpacked.
    const packed = name === "library" ? bytes : gzipSync(bytes, { level: 9 });
    const hash = createHash("sha256").update(packed).digest("hex").slice(0, 16);
    // No host knows the ending, and so none packs it again or says that it is packed.
    const file = `${name}-${hash}.bin`;
    index[name] = { file, size: packed.length };
    files.set(file, packed);
  }
  files.set(INDEX, Buffer.from(JSON.stringify(index)));
  return files;
}
