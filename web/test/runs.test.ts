// Runs as a page has them: streams, interrupts, ends.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openPage, run, type Browser } from "./browser.ts";

let browser: Browser;
beforeAll(async () => {
  browser = await openPage();
});
afterAll(() => browser.close());

const python = (code: string, options = {}) => run(browser.page, { args: ["-c", code], ...options });

test("stdin is read to its end", async () => {
  const result = await python("import sys; print(sys.stdin.read().upper())", { stdin: "hällo\n" });
  expect(result).toMatchObject({ outcome: "exited 0", stdout: "HÄLLO\n\n" });
});

test("ten megabytes of output arrive whole", async () => {
  const result = await python("print('x' * 10_000_000)");
  expect(result.outcome).toBe("exited 0");
  expect(result.stdout.length).toBe(10_000_001);
});

test("an exception is a traceback and exit code 1, and the next run is not troubled", async () => {
  const failed = await python("1 / 0");
  expect(failed.outcome).toBe("exited 1");
  expect(failed.stderr).toContain("ZeroDivisionError: division by zero");
  expect(await python("print('fine')")).toMatchObject({ outcome: "exited 0", stdout: "fine\n" });
});

test("threads that wait for each other are a deadlock, with their stacks", async () => {
  const result = await python("import threading; threading.Lock().acquire(); l = threading.Lock(); l.acquire(); l.acquire()");
  expect(result.outcome).toBe("deadlocked");
  expect(result.stderr).toContain("Deadlock: every thread waits");
});

const SOON_MS = 100;

/** The time from an interrupt to the program's end: the shortest of some, since other work on the machine
 * delays them. */
async function interrupted(code: string): Promise<number> {
  const times = [Infinity];
  while (Math.min(...times) >= SOON_MS && times.length < 12) {
    const args = ["-c", `print('on', flush=True); ${code}`];
    const result = await run(browser.page, { args, interruptAfter: 500 }, 10_000);
    expect(result.stdout).toBe("on\n");
    expect(result.stderr).toContain("KeyboardInterrupt");
    times.push(result.afterInterrupt);
  }
  return Math.min(...times);
}

test("an interrupt ends a sleep at once", async () => {
  expect(await interrupted("import time; time.sleep(60)")).toBeLessThan(SOON_MS);
});

test("an interrupt ends a loop that computes within 100 ms", async () => {
  expect(await interrupted("exec('while True: pass')")).toBeLessThan(SOON_MS);
});

test("10,000 sleeping threads start and end", async () => {
  const code = `
import threading
wake = threading.Event()
threads = [threading.Thread(target=wake.wait, args=(60,)) for _ in range(10_000)]
for t in threads: t.start()
print(threading.active_count())
wake.set()
for t in threads: t.join()
`;
  expect(await python(code)).toMatchObject({ outcome: "exited 0", stdout: "10001\n" });
});

test("more threads than the limit are refused", async () => {
  const code = `
import threading
wait = threading.Event()
try:
    for n in range(100): threading.Thread(target=wait.wait).start()
except RuntimeError as error:
    print(n, error)
wait.set()
`;
  const result = await python(code, { maxThreads: 10 });
  expect(result.stdout).toBe("10 can't start new thread\n");
});

test("what is not of the program's own network is refused with the reason", async () => {
  const code = `
import socket, urllib.request
for reach in (
    lambda: socket.create_connection(("192.0.2.1", 80)),
    lambda: socket.create_connection(("2001:db8::1", 80)),
    lambda: socket.socket(type=socket.SOCK_DGRAM).sendto(b"", ("192.0.2.1", 53)),
    lambda: socket.getaddrinfo("example.org", 80),
    lambda: urllib.request.urlopen("http://example.org"),
):
    try:
        print("reached", reach())
    except OSError as error:
        print(error)
`;
  const { stdout } = await python(code);
  expect(stdout.split("\n").filter((line) => line.includes("a browser gives a page no network sockets"))).toHaveLength(5);
});

test("arguments and file names of any language arrive", async () => {
  const code = "import sys; print(sys.argv[1], open('/data/größe.txt').read())";
  const result = await run(browser.page, {
    args: ["-c", code, "日本"],
    files: { "/data/größe.txt": "ok" },
  });
  expect(result.stdout).toBe("日本 ok\n");
});

test("the standard library is loaded when a module of it is first needed, and kept", async () => {
  const { context, page } = await browser.fresh();
  const loaded: string[] = [];
  context.on("request", (request) => loaded.push(request.url().replace(/^.*\/|-[^-]*$/g, "")));
  await page.reload();
  await page.getByText("Ready", { exact: true }).waitFor();
  await run(page, { args: ["-c", "import threading, json, traceback; print(1)"] });
  expect(loaded.filter((name) => name === "library")).toEqual([]);
  const code = "import colorsys; print(colorsys.rgb_to_hsv(1, 0, 0))";
  for (let i = 0; i < 2; i++)
    expect((await run(page, { args: ["-c", code] })).stdout).toBe("(0.0, 1.0, 1)\n");
  expect(loaded.filter((name) => name === "library").length).toBe(1);
  // Another visit finds all of it in the browser.
  loaded.length = 0;
  await page.reload();
  await page.getByText("Ready", { exact: true }).waitFor();
  expect((await run(page, { args: ["-c", code] })).stdout).toBe("(0.0, 1.0, 1)\n");
  expect(loaded.filter((name) => /^(core|warm|library)$/.test(name))).toEqual([]);
  await context.close();
});

test("a first visit loads at most 8 MB", async () => {
  const { context, transferred } = await browser.fresh();
  console.log(`a first visit: ${transferred()} bytes`);
  expect(transferred()).toBeGreaterThan(5e6);
  expect(transferred()).toBeLessThan(8e6);
  await context.close();
});

test("a file that cannot be loaded is named", async () => {
  const { context, page } = await browser.fresh();
  await page.route("**/core-*", (route) => route.fulfill({ status: 404 }));
  await page.evaluate(() => caches.delete("vtwasm-python"));
  await page.reload();
  await expect.poll(() => page.getByRole("status").textContent()).toMatch(/cannot load .*core-.*404/);
  await page.route("**/python.json", (route) => route.abort());
  await page.reload();
  await expect.poll(() => page.getByRole("status").textContent()).toMatch(/cannot load .*python.json: .* the network/);
  await context.close();
});

test("recursion without end, in whatever part of CPython, is an exception", async () => {
  const path = join(import.meta.dirname, "../../guest/tests/recursion_paths.py");
  const files = { "/home/web/paths.py": readFileSync(path, "utf8") };
  const { outcome, stdout } = await run(browser.page, { args: ["paths.py"], files });
  expect(outcome).toBe("exited 0");
  expect(stdout).toMatch(/\d{3} passed, 0 failed/);
});
