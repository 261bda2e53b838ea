// The closing line that `cargo xtask test` adds up.

import type { Reporter, TestModule } from "vitest/node";

export default class Tally implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    const tests = modules.flatMap((module) => [...module.children.allTests()]);
    const passed = tests.filter((test) => test.ok()).length;
    // A file that could not be loaded has no tests.
    const broken = modules.filter((module) => module.errors().length > 0).length;
    console.log(`${passed} passed, ${tests.length - passed + broken} failed`);
  }
}
