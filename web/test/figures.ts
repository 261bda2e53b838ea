// Figures, not tests: `npx vitest run --config vitest.figures.config.ts`.

import { afterAll, beforeAll, test } from "vitest";
import { openPage, run, type Browser } from "./browser.ts";

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

test("figures", async () => {
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
