// The page, as somebody uses it.

import { execFileSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Console } from "../page/console.ts";
import type { Editor } from "../page/editor.ts";
import { codeOf, EXAMPLES } from "../page/examples.ts";
import type { TimelineView } from "../page/timeline/view.ts";
import { openPage, type Browser } from "./browser.ts";
import { AXE, LOOKS } from "./looks.ts";

/** What page/main.ts leaves for tests. */
type Globals = { terminal: Console; editor: Editor; view: TimelineView };

const SCREENSHOTS = join(import.meta.dirname, "../../target/web/screenshots");
mkdirSync(SCREENSHOTS, { recursive: true });

let browser: Browser;
let page: Page;
beforeAll(async () => {
  browser = await openPage();
  ({ page } = browser);
});
afterAll(() => browser.close());

const button = (name: string) => page.getByRole("button", { name, exact: true });
const status = () => page.getByRole("status").textContent();
const consoleText = () => page.evaluate(() => (globalThis as unknown as Globals).terminal.text);
const setCode = (code: string) =>
  page.evaluate((code) => {
    (globalThis as unknown as Globals).editor.text = code;
  }, code);

async function begin(code: string): Promise<void> {
  await setCode(code);
  await button("Run").click();
}

const ended = (timeout = 30_000) =>
  expect.poll(status, { timeout }).toMatch(/^(Done|Ended|Deadlock|Stopped|Python)/);

async function runInPage(code: string): Promise<{ output: string; status: string }> {
  await begin(code);
  await ended();
  return { output: await consoleText(), status: (await status()) ?? "" };
}

/** The lanes as the timeline has them: their states' names, one after the other. */
const lanes = () =>
  page.evaluate(() =>
    (globalThis as unknown as Globals).view.timeline.lanes.map((lane) => ({
      name: lane.name,
      states: lane.times.map((_, index) => lane.change(index)),
    })),
  );

const VTWASM = process.env["VTWASM"];
for (const example of EXAMPLES)
  test(`the example "${example.name}" prints what vtwasm run prints`, async () => {
    if (!VTWASM) throw new Error("set VTWASM to the program that `cargo xtask build` prints");
    const path = join(import.meta.dirname, `../page/examples/${example.file}.py`);
    const expected = execFileSync(VTWASM, ["run", path], { encoding: "utf8" });
    await page.getByLabel("Example").selectOption({ label: example.name });
    const { output, status } = await runInPage(codeOf(example));
    expect(status).toMatch(/^Done/);
    expect(output).toBe(expected.trimEnd());
  });

test("choosing an example shows its program", async () => {
  await page.getByLabel("Example").selectOption({ label: EXAMPLES[1].name });
  expect(await page.getByLabel("Program", { exact: true }).last().innerText()).toContain("import queue");
});

test("what is typed into the editor runs by Ctrl-Enter", async () => {
  await setCode("");
  await page.locator(".cm-content").click();
  await page.keyboard.type("print(40 + 2)");
  await page.keyboard.press("Control+Enter");
  await ended();
  expect(await consoleText()).toBe("42");
});

test("the console is a REPL, with history, that an interrupt does not end", async () => {
  await button("REPL").click();
  await expect.poll(consoleText).toMatch(/>>> *$/);
  await page.keyboard.type("x = 6\r");
  // What is typed ahead is shown before the prompt that it answers, as on any terminal.
  await expect.poll(consoleText).toMatch(/>>> x = 6\n>>> *$/);
  await page.keyboard.type("x * 7\r");
  await expect.poll(consoleText).toMatch(/\n42\n>>> *$/);
  await page.keyboard.press("ArrowUp");
  await page.keyboard.press("Backspace");
  await page.keyboard.type("8\r");
  await expect.poll(consoleText).toMatch(/\n48\n>>> *$/);
  await page.keyboard.type("import time; time.sleep(60)\r");
  await page.waitForTimeout(200);
  await page.keyboard.press("Control+c");
  await expect.poll(consoleText).toMatch(/KeyboardInterrupt[^]*>>> *$/);
  await page.keyboard.press("Control+d");
  await ended();
});

test("a line that is typed while nothing runs is a new REPL's first", async () => {
  await runInPage("print('over')");
  await page.locator("#console").click();
  await page.keyboard.type("6 * 7\r");
  await expect.poll(consoleText).toMatch(/>>> 42\n>>> *$/);
});

test("a line that is longer than the console is wide is edited where it is", async () => {
  await button("REPL").click();
  await expect.poll(consoleText).toMatch(/>>> *$/);
  await page.keyboard.type(`len('${"a".repeat(300)}')`);
  await page.keyboard.press("Home");
  await page.keyboard.type("1 + ");
  await page.keyboard.press("Enter");
  await expect.poll(consoleText).toMatch(/\n301\n>>> *$/);
});

test("a program reads what is typed", async () => {
  await begin("name = input('Name? ')\nprint('Hello,', name)");
  await expect.poll(consoleText).toContain("Name?");
  await page.locator("#console").click();
  await page.keyboard.type("Ada\r");
  await ended();
  expect(await consoleText()).toBe("Name? Ada\nHello, Ada");
});

test("an exception is shown with its exit code, and the next run is not troubled", async () => {
  const { output, status } = await runInPage("raise ValueError('no')");
  expect(output).toContain("ValueError: no");
  expect(status).toMatch(/^Ended with exit code 1/);
  expect((await runInPage("print('fine')")).output).toBe("fine");
});

test("a program that needs too much memory gets a MemoryError", async () => {
  const { output } = await runInPage("data = []\nwhile True: data.append(bytearray(100_000_000))");
  expect(output).toContain("MemoryError");
  expect((await runInPage("print('fine')")).output).toBe("fine");
});

test("ten megabytes of output leave the page usable", async () => {
  await begin("for i in range(100_000): print('x' * 99)\nprint('the end')");
  await button("Stop").hover();
  await ended(60_000);
  expect(await consoleText()).toMatch(/the end$/);
});

test("stop ends a program that computes, with a traceback", async () => {
  await begin("print('on', flush=True)\nwhile True: pass");
  await expect.poll(consoleText).toBe("on");
  await button("Stop").click();
  await expect.poll(consoleText).toContain("KeyboardInterrupt");
});

test("a program that swallows the interrupt is stopped all the same", async () => {
  await begin("while True:\n    try:\n        print('on')\n        while True: pass\n    except KeyboardInterrupt: pass");
  await expect.poll(consoleText).toBe("on");
  await button("Stop").click();
  await expect.poll(status, { timeout: 5000 }).toMatch(/^Stopped/);
});

const WAITING = `import threading, time

def sleeper():
    time.sleep(30)

def taker(lock):
    with lock:
        pass

lock = threading.Lock()
lock.acquire()
threading.Thread(target=sleeper, daemon=True).start()
threading.Thread(target=taker, args=(lock,), daemon=True).start()
time.sleep(0.3)
end = time.monotonic() + 30
while time.monotonic() < end:
    pass
`;

test("the timeline has a lane for each thread, with its states and its Python stack", async () => {
  await begin(WAITING);
  await expect.poll(async () => (await lanes()).length).toBe(3);
  const timeline = page.getByRole("listbox", { name: "Timeline of the threads" });
  await expect.poll(async () => (await lanes())[0].states).toContain("sleep");
  const [, sleeper, taker] = await lanes();
  expect(sleeper.states).toEqual(["spawned", "running", "sleep"]);
  expect(taker.states.at(-1)).toBe("semaphore");

  const frames = () => page.getByRole("list", { name: /^Frames/ }).allInnerTexts();
  await timeline.focus();
  await page.keyboard.press("End");
  expect(await page.getByRole("option").last().textContent()).toContain("thread 2: waits for a lock");
  await expect.poll(async () => (await frames()).join()).toContain("taker, main.py:7");
  await page.keyboard.press("ArrowUp");
  await expect.poll(async () => (await frames()).join()).toContain("sleeper, main.py:4");
  // By the pointer, on the first lane, which computes.
  await timeline.click({ position: { x: 200, y: 30 } });
  await expect.poll(async () => (await frames()).join()).toMatch(/<module>, main\.py:1[567]/);
  await page.screenshot({ path: join(SCREENSHOTS, "known-program.png") });
  await button("Stop").click();
  await ended();
});

test("a paused program does nothing until it goes on", async () => {
  await begin("import time\nfor i in range(1000):\n    print(i, flush=True)\n    time.sleep(0.01)");
  await expect.poll(consoleText).toContain("10");
  await button("Pause").click();
  await page.waitForTimeout(100);
  const text = await consoleText();
  await page.waitForTimeout(300);
  expect(await consoleText()).toBe(text);
  await button("Resume").click();
  await expect.poll(consoleText).not.toBe(text);
  await button("Pause").click();
  await button("Stop").click();
  await ended();
});

test("the timeline is zoomed by keys, buttons and the wheel, and moved by a drag", async () => {
  await runInPage("import time\ntime.sleep(0.2)");
  const span = () => page.evaluate(() => (globalThis as unknown as Globals).view.span);
  const whole = await span();
  const length = async () => (await span()).to - (await span()).from;
  const all = whole.to - whole.from;
  const timeline = page.getByRole("listbox");
  await timeline.focus();
  await page.keyboard.press("+");
  expect(await length()).toBeCloseTo(all / 1.5, -3);
  await button("Zoom in").click();
  expect(await length()).toBeCloseTo(all / 3, -3);
  await timeline.hover({ position: { x: 300, y: 40 } });
  await page.keyboard.down("Control");
  await page.mouse.wheel(0, -100);
  await page.keyboard.up("Control");
  await expect.poll(length).toBeLessThan(all / 4);
  const before = await span();
  await page.mouse.down();
  const box = await timeline.boundingBox();
  await page.mouse.move((box?.x ?? 0) + 200, (box?.y ?? 0) + 40, { steps: 4 });
  await page.mouse.up();
  expect((await span()).from).toBeGreaterThan(before.from);
  await button("Zoom out").click();
  await page.keyboard.press("0");
  await button("Fit").click();
  expect(await span()).toEqual(whole);
});

/** What a frame costs: milliseconds from its begin to the end of the timeline's work, and from frame to frame. */
const measureFrames = (milliseconds: number, isMoved: boolean) =>
  page.evaluate(
    async ({ milliseconds, isMoved }) => {
      const { view } = globalThis as unknown as Globals;
      const [work, between]: number[][] = [[], []];
      const end = performance.now() + milliseconds;
      for (let last = 0; performance.now() < end; ) {
        if (isMoved) view.move(work.length % 2 ? 0.01 : -0.01);
        else view.draw();
        const began = await new Promise(requestAnimationFrame);
        work.push(performance.now() - began);
        if (last > 0) between.push(began - last);
        last = began;
      }
      const middle = (times: number[], part: number) => times.sort((a, b) => a - b)[Math.floor(times.length * part)];
      return { work: middle(work, 0.5), between: middle(between, 0.5), late: middle(between, 0.95) };
    },
    { milliseconds, isMoved },
  );

test("with 10,000 threads the timeline stays fluent, and draws only the lanes that can be seen", async () => {
  await begin(codeOf(EXAMPLES[2]));
  await expect.poll(consoleText, { timeout: 30_000 }).toContain("threads sleep");
  const live = await measureFrames(1000, false);
  await ended();
  expect((await lanes()).length).toBe(10_001);
  const results: Record<string, Awaited<ReturnType<typeof measureFrames>>> = { "while it runs": live };
  await button("Flatter").click();
  await button("Flatter").click();
  results["lanes of 5 pixels, moved"] = await measureFrames(1000, true);
  await button("Flatter").click();
  results["lanes of 2 pixels, moved"] = await measureFrames(1000, true);
  const drawn = await page.evaluate(() => (globalThis as unknown as Globals).view.drawnLanes);
  for (const [what, { work, between, late }] of Object.entries(results))
    console.log(`${what}: ${work.toFixed(1)} ms a frame, one each ${between.toFixed(1)} ms, 95 % within ${late.toFixed(1)}`);
  for (const { work } of Object.values(results)) expect(work).toBeLessThan(16);
  expect(drawn).toBeLessThan(300);
  for (let i = 0; i < 3; i++) await button("Taller").click();
  await button("Fit").click();
});

test("a file that is added lies beside the program", async () => {
  const file = { name: "data.txt", mimeType: "text/plain", buffer: Buffer.from("dropped") };
  await page.getByLabel("Add files…").setInputFiles(file);
  await expect.poll(status).toContain("Added data.txt");
  expect((await runInPage("print(open('data.txt').read())")).output).toBe("dropped");
  await button("Remove data.txt").click();
  expect((await runInPage("import os; print(os.listdir())")).output).toBe("['main.py']");
});

test("a file that is dropped lies beside the program, too", async () => {
  await page.evaluate(() => {
    const dataTransfer = new DataTransfer();
    dataTransfer.items.add(new File(["VALUE = 5"], "mine.py"));
    document.body.dispatchEvent(new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true }));
  });
  await expect.poll(status).toContain("Added mine.py");
  expect((await runInPage("import mine; print(mine.VALUE)")).output).toBe("5");
  await button("Remove mine.py").click();
});

test("a link carries the program, and a damaged one says so", async () => {
  await setCode("print('größe', '日本')");
  await button("Copy link").click();
  await expect.poll(() => page.url()).toContain("#code=");
  const link = page.url();
  await page.goto("about:blank");
  await page.goto(link);
  await expect.poll(status, { timeout: 30_000 }).toBe("Ready");
  await button("Run").click();
  await ended();
  expect(await consoleText()).toBe("größe 日本");
  await page.evaluate(() => {
    location.hash = "#code=%%%";
  });
  await expect.poll(status).toContain("The link is damaged");
});

test("a page that is loaded again during a run is ready again", async () => {
  await begin("while True: pass");
  await page.reload();
  await expect.poll(status, { timeout: 30_000 }).toBe("Ready");
  expect((await runInPage("print(6 * 7)")).output).toBe("42");
});

test("threads that wait for each other are told as a deadlock", async () => {
  const { output, status } = await runInPage("import threading\nlock = threading.Lock()\nlock.acquire()\nlock.acquire()");
  expect(status).toMatch(/^Deadlock: all threads wait/);
  expect(output).toContain("main.py");
});

test("while Python loads the page shows how far it is", async () => {
  const other = await page.context().browser()?.newPage();
  if (!other) throw new Error("no browser");
  let goOn = () => {};
  const held = new Promise<void>((resolve) => {
    goOn = resolve;
  });
  await other.route("**/warm-*", async (route) => {
    await held;
    await route.continue();
  });
  await other.goto(page.url().replace(/#.*/, ""));
  const bar = other.getByRole("progressbar", { name: "Loading Python" });
  // The core module is there, the image is not.
  await expect.poll(async () => Number(await bar.getAttribute("value"))).toBeGreaterThan(2e6);
  expect(Number(await bar.getAttribute("max"))).toBeGreaterThan(6e6);
  expect(await other.getByRole("status").textContent()).toBe("Loading Python…");
  expect(await other.getByRole("button", { name: "Run" }).isDisabled()).toBe(true);
  goOn();
  await other.getByText("Ready", { exact: true }).waitFor();
  expect(await bar.isVisible()).toBe(false);
  await other.close();
});

test("a browser without JSPI is told what to do", async () => {
  const other = await page.context().newPage();
  await other.addInitScript(() => {
    Reflect.deleteProperty(WebAssembly, "Suspending");
  });
  await other.goto(page.url());
  await expect.poll(() => other.getByRole("alert").textContent()).toContain("Chrome and Edge have it");
  expect(await other.getByRole("button", { name: "Run" }).isDisabled()).toBe(true);
  await other.close();
});

for (const { name, colorScheme, width, height } of LOOKS)
  test(`the page has no fault that axe finds: ${name}`, async () => {
    await page.emulateMedia({ colorScheme });
    await page.setViewportSize({ width, height });
    await page.goto(page.url().replace(/#.*/, ""));
    await page.reload();
    await expect.poll(status, { timeout: 30_000 }).toBe("Ready");
    await page.getByLabel("Example").selectOption({ label: EXAMPLES[4].name });
    await begin(codeOf(EXAMPLES[4]));
    // In the middle of its second half, which takes a second.
    await expect.poll(consoleText).toContain("without: wrong");
    await expect.poll(async () => (await lanes()).length).toBe(21);
    await page.waitForTimeout(400);
    await button("Pause").click();
    await page.getByRole("listbox").focus();
    await page.keyboard.press("End");
    await page.getByRole("listitem").filter({ hasText: "deposit" }).waitFor();
    await page.addScriptTag({ content: AXE });
    const violations = await page.evaluate(async () => {
      const { axe } = globalThis as unknown as { axe: typeof import("axe-core") };
      const { violations } = await axe.run();
      return violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html).join(" | ")}`);
    });
    expect(violations).toEqual([]);
    const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    expect(overflow).toBeLessThanOrEqual(0);
    await page.screenshot({ path: join(SCREENSHOTS, `${name}.png`), fullPage: width < 500 });
    await button("Stop").click();
    await ended();
  });
