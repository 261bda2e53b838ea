import { copyFileSync, createReadStream, mkdirSync, statSync } from "node:fs";
import { join } from "node:path";
import type { ServerResponse } from "node:http";
import { defineConfig, type Plugin } from "vite";

const FILES: Record<string, string> = {
  "python.core.wasm": "application/wasm",
  "python313.zip": "application/zip",
};

/** Python's files come from the folder that `cargo xtask python` prints. */
function python(): Plugin {
  const folder = process.env["VTWASM_PYTHON"];
  if (!folder) throw new Error("set VTWASM_PYTHON to the folder that `cargo xtask python` prints");
  const serve = (url: string | undefined, response: ServerResponse, next: () => void) => {
    const name = /^\/python\/([^?]+)/.exec(url ?? "")?.[1] ?? "";
    const type = FILES[name];
    if (!type) return next();
    const path = join(folder, name);
    response.setHeader("Content-Type", type);
    response.setHeader("Content-Length", statSync(path).size);
    createReadStream(path).pipe(response);
  };
  return {
    name: "vtwasm-python",
    configureServer: ({ middlewares }) => {
      middlewares.use((request, response, next) => serve(request.url, response, next));
    },
    writeBundle: ({ dir }) => {
      const target = join(dir ?? "dist", "python");
      mkdirSync(target, { recursive: true });
      for (const name of Object.keys(FILES)) copyFileSync(join(folder, name), join(target, name));
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
