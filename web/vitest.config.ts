import { defineConfig } from "vitest/config";

export default defineConfig({
  // The packages are kept outside the clone, and nothing is written to them.
  cacheDir: "../target/web",
  test: {
    reporters: ["default", "./test/tally.ts"],
    include: ["test/**/*.test.ts"],
    // One Chromium at a time.
    fileParallelism: false,
    testTimeout: 120_000,
    // The machine may have other work.
    expect: { poll: { timeout: 15_000 } },
    hookTimeout: 60_000,
  },
});
