// Makes the image of an interpreter that has started, as host/vtwasm/src/snapshot.rs does: runs the core
// module once, under Node, with what is to be loaded.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Sandbox } from "../host/src/sandbox.ts";

const PRELOAD = join(import.meta.dirname, "../../host/vtwasm/src/preload.py");

/** No JSPI is needed: nothing in that run waits. Where there is one, it stays. */
export function withoutJspi(): void {
  if ("Suspending" in WebAssembly) return;
  const cannotWait = (f: (...args: never[]) => unknown) =>
    ((...args: never[]) => {
      const result = f(...args);
      if (result instanceof Promise) throw new Error("the run that makes the image waits for something");
      return result;
    }) as Function;
  Object.assign(WebAssembly, {
    Suspending: function (f: (...args: never[]) => unknown) {
      return cannotWait(f);
    },
    promising:
      (f: (...args: unknown[]) => void) =>
      async (...args: unknown[]) =>
        f(...args),
  });
}

export async function makeImage(
  module: Uint8Array<ArrayBuffer>,
  image: Uint8Array,
  library: Uint8Array,
): Promise<Uint8Array> {
  withoutJspi();
  let said = "";
  const sandbox = new Sandbox(
    {
      module: await WebAssembly.compile(module),
      image,
      imageIsWanted: true,
      library,
      args: ["python3", "-c", readFileSync(PRELOAD, "utf8")],
      env: [],
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
  sandbox.stdin.push(null);
  const { outcome } = await sandbox.run();
  if (!sandbox.image.taken)
    throw new Error(`the interpreter gave no image (${JSON.stringify(outcome)}):\n${said}`);
  return sandbox.image.taken;
}
