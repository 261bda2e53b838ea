// The page, as somebody uses it.

import { afterAll, beforeAll, expect, test } from "vitest";
import { EXAMPLES } from "../page/examples.ts";
import { openPage, type Browser } from "./browser.ts";

let browser: Browser;
beforeAll(async () => {
  browser = await openPage();
});
afterAll(() => browser.close());

async function runInPage(code: string): Promise<{ output: string; status: string }> {
  const { page } = browser;
  await page.getByLabel("Program").fill(code);
  await page.getByRole("button", { name: "Run" }).click();
  const status = page.getByRole("status");
  await expect.poll(() => status.textContent(), { timeout: 30_000 }).not.toBe("Running…");
  return {
    output: (await page.getByLabel("Output").textContent()) ?? "",
    status: (await status.textContent()) ?? "",
  };
}

for (const { name, code, output } of EXAMPLES)
  test(`the example "${name}" prints what it should`, async () => {
    const result = await runInPage(code);
    expect(result.status).toMatch(/^Done/);
    expect(result.output).toBe(output);
  });

test("choosing an example shows its program", async () => {
  const { page } = browser;
  await page.getByLabel("Example").selectOption({ label: EXAMPLES[1].name });
  expect(await page.getByLabel("Program").inputValue()).toBe(EXAMPLES[1].code);
});

test("an exception is shown with its exit code", async () => {
  const { output, status } = await runInPage("raise ValueError('no')");
  expect(output).toContain("ValueError: no");
  expect(status).toMatch(/^Ended with exit code 1/);
});

test("stop ends a program that computes, with a traceback", async () => {
  const { page } = browser;
  await page.getByLabel("Program").fill("print('on', flush=True)\nwhile True: pass");
  await page.getByRole("button", { name: "Run" }).click();
  await expect.poll(() => page.getByLabel("Output").textContent()).toBe("on\n");
  await page.getByRole("button", { name: "Stop" }).click();
  await expect.poll(() => page.getByLabel("Output").textContent()).toContain("KeyboardInterrupt");
});

test("a program that swallows the interrupt is stopped all the same", async () => {
  const { page } = browser;
  await expect.poll(() => page.getByRole("button", { name: "Run" }).isEnabled()).toBe(true);
  const code = "while True:\n    try:\n        while True: pass\n    except KeyboardInterrupt: pass";
  await page.getByLabel("Program").fill(code);
  await page.getByRole("button", { name: "Run" }).click();
  await page.getByRole("button", { name: "Stop" }).click();
  await expect
    .poll(() => page.getByRole("status").textContent(), { timeout: 5000 })
    .toMatch(/^Stopped/);
});

test("a page that is loaded again during a run is ready again", async () => {
  const { page } = browser;
  await page.getByLabel("Program").fill("while True: pass");
  await page.getByRole("button", { name: "Run" }).click();
  await page.reload();
  await page.getByText("Ready", { exact: true }).waitFor();
  expect((await runInPage("print(6 * 7)")).output).toBe("42\n");
});
