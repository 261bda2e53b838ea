// The core module as a page gets it.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { rewrite } from "../build/rewrite.ts";

const FOLDER = process.env["VTWASM_PYTHON"];
if (!FOLDER) throw new Error("set VTWASM_PYTHON to the folder that `cargo xtask python` prints");
const core = readFileSync(join(FOLDER, "python.core.wasm"));

test("the module is valid, and its data is an image", () => {
  const { module, image } = rewrite(core);
  expect(WebAssembly.validate(module)).toBe(true);
  expect(module.length).toBeLessThan(core.length);
  expect(image.length % 65_536).toBe(0);
});

test("a module of another shape is refused with the reason", () => {
  const empty = core.subarray(0, 8);
  expect(() => rewrite(empty)).toThrow("must have one memory");
  expect(() => rewrite(core.subarray(0, core.length >> 1))).toThrow();
  // It has a memory and no loop.
  const memory = Buffer.from([...empty, 5, 3, 1, 0, 1, 10, 4, 1, 2, 0, 0x0b]);
  expect(() => rewrite(memory)).toThrow("checks of eval_breaker");
});
