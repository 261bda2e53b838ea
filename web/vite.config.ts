import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import type { ServerResponse } from "node:http";
import { join } from "node:path";
import { defineConfig, type Plugin } from "vite";
import { makeImage } from "./build/image.ts";
import { rewrite } from "./build/rewrite.ts";

const TYPES: Record<string, string> = {
  "python.core.wasm": "application/wasm",
  "python313.zip": "application/zip",
  "warm.image": "application/octet-stream",
  "cold.image": "application/octet-stream",
};

async function make(folder: string): Promise<Record<string, Uint8Array>> {
  const library = readFileSync(join(folder, "python313.zip"));
  const { module, image } = rewrite(readFileSync(join(folder, "python.core.wasm")));
  const warm = await makeImage(module, image, library);
  return {
    "python.core.wasm": module,
    "python313.zip": library,
    "warm.image": warm,
    "cold.image": image,
  };
}

/** Python's files come from the folder that `cargo xtask python` prints. */
function python(): Plugin {
  const folder = process.env["VTWASM_PYTHON"];
  if (!folder) throw new Error("set VTWASM_PYTHON to the folder that `cargo xtask python` prints");
  let files: Promise<Record<string, Uint8Array>> | null = null;
  const load = () => (files ??= make(folder));
  const serve = async (url: string | undefined, response: ServerResponse, next: () => void) => {
    const name = /^\/python\/([^?]+)/.exec(url ?? "")?.[1] ?? "";
    if (!TYPES[name]) return next();
    response.setHeader("Content-Type", TYPES[name]);
    response.end((await load())[name]);
  };
  return {
    name: "vtwasm-python",
    configureServer: ({ middlewares }) => {
      middlewares.use((request, response, next) => void serve(request.url, response, next));
    },
    writeBundle: async ({ dir }) => {
      const target = join(dir ?? "dist", "python");
      mkdirSync(target, { recursive: true });
      for (const [name, bytes] of Object.entries(await load())) writeFileSync(join(target, name), bytes);
    },
  };
}

export default defineConfig({
  // Any folder of any static host will do.
  base: "./",
  // The packages are kept outside the clone, and nothing is written to them.
  cacheDir: "../target/web",
  server: { fs: { strict: false } },
  plugins: [python()],
  worker: { format: "es" },
  build: { target: "es2023", chunkSizeWarningLimit: 1500 },
});
