// The npm package, for pages of somebody else: dist/package/.

import { cpSync, readFileSync, writeFileSync } from "node:fs";
import { defineConfig } from "vite";

const OUT = "dist/package";

export default defineConfig({
  base: "./",
  cacheDir: "../target/web",
  worker: { format: "es" },
  build: {
    outDir: OUT,
    target: "es2023",
    lib: { entry: "host/src/index.ts", formats: ["es"], fileName: "index" },
  },
  plugins: [
    {
      name: "vtwasm-package",
      writeBundle: () => {
        const source = JSON.parse(readFileSync("package.json", "utf8")) as Record<string, string>;
        const { name, version, license } = source;
        const exports = { ".": { types: "./types/index.d.ts", default: "./index.js" }, "./python/*": "./python/*" };
        const about = { name, version, type: "module", license, exports };
        writeFileSync(`${OUT}/package.json`, `${JSON.stringify(about, null, 2)}\n`);
        cpSync("dist/python", `${OUT}/python`, { recursive: true });
        cpSync("../LICENSE", `${OUT}/LICENSE`);
      },
    },
  ],
});
