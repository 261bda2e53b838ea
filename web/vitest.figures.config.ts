import { defineConfig } from "vitest/config";

export default defineConfig({
  cacheDir: "../target/web",
  test: {
    include: ["test/figures.ts"],
    testTimeout: 120_000,
    hookTimeout: 60_000,
    // The lines as they are.
    disableConsoleIntercept: true,
  },
});
