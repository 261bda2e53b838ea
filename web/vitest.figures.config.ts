import { defineConfig } from "vitest/config";

export default defineConfig({ test: { include: ["test/figures.ts"], testTimeout: 120_000 } });
