import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import type { ServerResponse } from "node:http";
import { join } from "node:path";
import { defineConfig, type Plugin } from "vite";
import { makeParts } from "./build/parts.ts";

/** Python's files come from the folder that `cargo xtask python` prints. */
function python(): Plugin {
  const folder = process.env["VTWASM_PYTHON"];
  if (!folder) throw new Error("set VTWASM_PYTHON to the folder that `cargo xtask python` prints");
  let files: Promise<Map<string, Uint8Array>> | null = null;
  const load = () => (files ??= makeParts(folder));
  const serve = async (url: string | undefined, response: ServerResponse, next: () => void) => {
    const name = /^\/python\/([^?]+)/.exec(url ?? "")?.[1];
    const bytes = name && (await load()).get(name);
    if (!bytes) return next();
    response.setHeader("Content-Type", name.endsWith(".json") ? "application/json" : "application/octet-stream");
    response.end(bytes);
  };
  return {
    name: "vtwasm-python",
    configureServer: ({ middlewares }) => {
      middlewares.use((request, response, next) => void serve(request.url, response, next));
    },
    writeBundle: async ({ dir }) => {
      const target = join(dir ?? "dist", "python");
      rmSync(target, { recursive: true, force: true });
      mkdirSync(target, { recursive: true });
      for (const [name, bytes] of await load()) writeFileSync(join(target, name), bytes);
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
