import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import type { ServerResponse } from "node:http";
import { join } from "node:path";
import { defineConfig, type Plugin } from "vite";
import { rewrite } from "./build/rewrite.ts";

const FILES: Record<string, string> = {
  "python.core.wasm": "application/wasm",
  "python313.zip": "application/zip",
};

function read(folder: string, name: string): Uint8Array {
  const bytes = readFileSync(join(folder, name));
  return name.endsWith(".wasm") ? rewrite(bytes) : bytes;
}

/** Python's files come from the folder that `cargo xtask python` prints. */
function python(): Plugin {
  const folder = process.env["VTWASM_PYTHON"];
  if (!folder) throw new Error("set VTWASM_PYTHON to the folder that `cargo xtask python` prints");
  const serve = (url: string | undefined, response: ServerResponse, next: () => void) => {
    const name = /^\/python\/([^?]+)/.exec(url ?? "")?.[1] ?? "";
    const type = FILES[name];
    if (!type) return next();
    response.setHeader("Content-Type", type);
    response.end(read(folder, name));
  };
  return {
    name: "vtwasm-python",
    configureServer: ({ middlewares }) => {
      middlewares.use((request, response, next) => serve(request.url, response, next));
    },
    writeBundle: ({ dir }) => {
      const target = join(dir ?? "dist", "python");
      mkdirSync(target, { recursive: true });
      for (const name of Object.keys(FILES)) writeFileSync(join(target, name), read(folder, name));
    },
  };
}

export default defineConfig({
  // Any folder of any static host will do.
  base: "./",
  plugins: [python()],
  worker: { format: "es" },
  build: { target: "es2023", chunkSizeWarningLimit: 1500 },
});
