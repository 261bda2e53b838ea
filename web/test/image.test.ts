// Runs that begin with an image, as far as Node can run them: nothing in them waits.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { expect, test } from "vitest";
import { withoutJspi } from "../build/image.ts";
import type { PartName, Parts } from "../host/src/parts.ts";
import { Sandbox } from "../host/src/sandbox.ts";

const PYTHON = join(import.meta.dirname, "../dist/python");
withoutJspi();
const index = JSON.parse(readFileSync(join(PYTHON, "python.json"), "utf8")) as Parts;
const packed = (name: PartName) => readFileSync(join(PYTHON, index[name].file));
const module = await WebAssembly.compile(gunzipSync(packed("core")));
const library = packed("library");

async function run(image: PartName, code: string) {
  let said = "";
  const sandbox = new Sandbox(
    {
      module,
      image: gunzipSync(packed(image)),
      imageIsWanted: true,
      library,
      args: ["python3", "-c", code],
      env: ["GREETING=hello"],
      files: {},
      isTerminal: false,
      maxThreads: 0,
      maxMemory: 2 ** 31,
      isTraced: false,
    },
    (_fd, bytes) => {
      said += new TextDecoder().decode(bytes);
    },
  );
  // No turns of the event loop, but a program.
  sandbox.image.isWanted = false;
  sandbox.stdin.push(null);
  const { outcome, usage } = await sandbox.run();
  return { said, outcome, usage };
}

const CODE = "import json, os, random, sys; print(json.dumps([os.environ['GREETING'], sys.argv]), 'tls' in sys.modules)";

for (const image of ["warm", "cold"] as const)
  test(`a program begins with the ${image} image`, async () => {
    const { said, outcome } = await run(image, CODE);
    expect(said).toBe('["hello", ["-c"]] False\n');
    expect(outcome).toEqual({ type: "exited", code: 0 });
  });

test("a warm start is faster, and no two have the same random numbers", async () => {
  const code = "import random; print(random.random())";
  const cold = await run("cold", code);
  const [first, second] = [await run("warm", code), await run("warm", code)];
  console.log(`cold ${cold.usage.wallTime} ms, warm ${first.usage.wallTime}, ${second.usage.wallTime} ms`);
  expect(second.usage.wallTime).toBeLessThan(cold.usage.wallTime);
  expect(first.said).not.toBe(second.said);
});
