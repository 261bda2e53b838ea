// The npm package in somebody else's page, from files alone.

import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openPage, serve, type Browser } from "./browser.ts";

let browser: Browser;
beforeAll(async () => {
  browser = await openPage();
});
afterAll(() => browser.close());

const PAGE = `<!doctype html><title>waiting</title><script type="module">
  import { createPython } from "./index.js";
  const python = await createPython({ base: "./python/" });
  let said = "";
  const decoder = new TextDecoder();
  const run = python.run("import threading\\nthreading.Thread(target=print, args=('hello',)).start()", {
    stdin: "",
    stdout: (bytes) => { said += decoder.decode(bytes, { stream: true }); },
  });
  const { outcome, usage } = await run.report;
  document.title = JSON.stringify([said, outcome, usage.threads]);
</script>`;

test("a page of somebody else runs a program by createPython and run", async () => {
  const server = await serve(join(import.meta.dirname, "../dist/package"));
  const page = await browser.page.context().newPage();
  await page.route("**/theirs.html", (route) => route.fulfill({ contentType: "text/html", body: PAGE }));
  await page.goto(`${server.url}theirs.html`);
  await expect.poll(() => page.title(), { timeout: 20_000 }).not.toBe("waiting");
  expect(JSON.parse(await page.title())).toEqual(["hello\n", { type: "exited", code: 0 }, 2]);
  await page.close();
  server.close();
});
