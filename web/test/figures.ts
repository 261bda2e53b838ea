// Figures, not tests: `npx vitest run --config vitest.figures.config.ts`.

import { readFileSync } from "node:fs";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, test } from "vitest";
import type { Python, Run } from "../host/src/index.ts";
import { openPage, run, serve, type Browser } from "./browser.ts";

let browser: Browser;
beforeAll(async () => {
  browser = await openPage();
});
afterAll(() => browser.close());

const FIGURES = `
import queue, threading, time

def measure(name, unit, count, f):
    best = min(f() for _ in range(3))
    print(f"{name}: {best / count * 1e6:.1f} {unit}")

def spawn_join():
    start = time.perf_counter()
    for _ in range(2000):
        t = threading.Thread(target=int); t.start(); t.join()
    return time.perf_counter() - start

def round_trips():
    a, b = queue.SimpleQueue(), queue.SimpleQueue()
    def echo():
        while (x := a.get()) is not None: b.put(x)
    t = threading.Thread(target=echo); t.start()
    start = time.perf_counter()
    for _ in range(5000): a.put(1); b.get()
    elapsed = time.perf_counter() - start
    a.put(None); t.join()
    return elapsed

def locks():
    one, two = threading.Lock(), threading.Lock()
    two.acquire(); one.acquire()
    def other():
        for _ in range(5000): one.acquire(); two.release()
    t = threading.Thread(target=other); t.start()
    start = time.perf_counter()
    for _ in range(5000): one.release(); two.acquire()
    elapsed = time.perf_counter() - start
    t.join()
    return elapsed

def fib(n): return n if n < 2 else fib(n - 1) + fib(n - 2)
def cpu():
    start = time.perf_counter(); fib(25); return time.perf_counter() - start
def loop():
    start = time.perf_counter()
    for _ in range(2_000_000): pass
    return time.perf_counter() - start
def floats():
    start = time.perf_counter()
    x = 0.0
    for i in range(500_000): x += (i * 1.5) % 7.0
    return time.perf_counter() - start

measure("spawn and join", "us", 2000, spawn_join)
measure("queue round trip (two hand-overs)", "us", 5000, round_trips)
measure("lock pair round trip (two hand-overs)", "us", 5000, locks)
measure("fib(25)", "ms", 1000, cpu)
measure("2M empty loops", "ms", 1000, loop)
measure("500k float steps", "ms", 1000, floats)
`;

test("figures of programs", async () => {
  const { stdout, stderr } = await run(browser.page, { args: ["-c", FIGURES] });
  console.log(stdout + stderr);
  const starts = [];
  for (let i = 0; i < 5; i++) {
    const start = performance.now();
    await run(browser.page, { args: ["-c", "pass"] });
    starts.push(performance.now() - start);
  }
  console.log(`python -c pass: ${Math.min(...starts).toFixed(0)} ms`);
});

/** Bytes that the page's processes have. */
async function memory(): Promise<number> {
  const session = await browser.page.context().browser()?.newBrowserCDPSession();
  const { processInfo } = (await session?.send("SystemInfo.getProcessInfo")) ?? { processInfo: [] };
  const pages = processInfo.filter(({ type }) => type === "renderer").map(({ id }) => {
    const status = readFileSync(`/proc/${id}/status`, "utf8");
    return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) * 1024;
  });
  return Math.max(...pages);
}

const SLEEPERS = `
import threading, time
threads = [threading.Thread(target=time.sleep, args=(20,), daemon=True) for _ in range(10_000)]
for t in threads: t.start()
print(threading.active_count(), flush=True)
time.sleep(1)
input()
`;

test("memory of 10,000 sleepers", async () => {
  const before = await memory();
  const finished = browser.page.evaluate((code) => {
    const { python } = globalThis as unknown as { python: Python };
    const run = python.start(["-c", code], { trace: () => {} });
    Object.assign(globalThis, { sleepers: run });
    return run.report;
  }, SLEEPERS);
  await new Promise((resolve) => setTimeout(resolve, 6000));
  console.log(`10,000 sleepers: ${((await memory()) / 1e6).toFixed(0)} MB in the tab, ${(before / 1e6).toFixed(0)} before`);
  await browser.page.evaluate(() => (globalThis as unknown as { sleepers: Run }).sleepers.kill());
  await finished;
});

/** Milliseconds from a visit to what tells that Python is there, of a browser that has it cached. */
async function visit(page: Page, url: string, isThere: () => Promise<void>): Promise<number> {
  const times = [];
  for (let i = 0; i < 4; i++) {
    await page.goto("about:blank");
    const start = performance.now();
    await page.goto(url);
    await isThere();
    times.push(performance.now() - start);
  }
  return Math.min(...times.slice(1));
}

const PYODIDE = process.env["PYODIDE"];

test("from a visit to a prompt, beside Pyodide if $PYODIDE is its npm package's folder", async () => {
  const { context, page } = await browser.fresh();
  const prompt = () =>
    page
      .waitForFunction(() =>
        (globalThis as unknown as { terminal?: { text: string } }).terminal?.text.includes(">>>"),
      )
      .then(() => {});
  console.log(`vtwasm: ${(await visit(page, page.url(), prompt)).toFixed(0)} ms`);
  if (PYODIDE) {
    const server = await serve(PYODIDE);
    // What its console does before its prompt.
    const html = `<script type="module">
      import { loadPyodide } from "./pyodide.mjs";
      const pyodide = await loadPyodide();
      pyodide.runPython("from pyodide.console import PyodideConsole; console = PyodideConsole(globals())");
      document.title = "ready";
    </script>`;
    await context.route("**/console.html", (route) =>
      route.fulfill({ contentType: "text/html", body: html }),
    );
    const ready = () => page.waitForFunction(() => document.title === "ready").then(() => {});
    console.log(`Pyodide: ${(await visit(page, `${server.url}console.html`, ready)).toFixed(0)} ms`);
    server.close();
  }
  await context.close();
});
