// Figures, not tests: `cargo xtask web --figures`. The last line is all of them, for bench/browser.py.

import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, test } from "vitest";
import type { Python, Run } from "../host/src/index.ts";
import { openPage, run, serve, type Browser } from "./browser.ts";

const PROGRAMS = join(import.meta.dirname, "../../bench/programs");
const PYODIDE = dirname(createRequire(import.meta.url).resolve("pyodide/package.json"));
const VTWASM = process.env["VTWASM"];

const figures: Record<string, number> = {};
const put = (name: string, value: number) => {
  figures[name] = value;
  console.log(`${name}: ${value.toPrecision(3)}`);
};

let browser: Browser;
beforeAll(async () => {
  browser = await openPage();
});
afterAll(async () => {
  await browser.close();
  console.log(`figures: ${JSON.stringify(figures)}`);
});

type Figures = Record<string, number>;
const last = (output: string) => JSON.parse(output.trimEnd().split("\n").at(-1) ?? "") as Figures;

async function inBrowser(program: string): Promise<Figures> {
  const sources = readdirSync(PROGRAMS).filter((name) => name.endsWith(".py"));
  const files = sources.map((name) => [`/home/web/${name}`, readFileSync(join(PROGRAMS, name), "utf8")]);
  const { stdout, stderr } = await run(browser.page, { args: [program], files: Object.fromEntries(files) });
  if (!stdout) throw new Error(stderr);
  return last(stdout);
}

function inHost(program: string): Figures {
  if (!VTWASM) throw new Error("set VTWASM to the program that `cargo xtask build` prints");
  return last(execFileSync(VTWASM, ["run", join(PROGRAMS, program)], { encoding: "utf8" }));
}

/** While the first one goes on, the browser still compiles: it begins with code that it has made in a hurry. */
const ROUNDS = 2;
const best = (rounds: Figures[], name: string) => Math.min(...rounds.map((round) => round[name]));

test("threads and hand-overs", async () => {
  for (const program of ["threads.py", "round_trips.py"]) {
    const rounds: Figures[] = [];
    for (let i = 0; i < ROUNDS; i++) rounds.push(await inBrowser(program));
    for (const name of Object.keys(rounds[0])) put(`browser_${name}`, best(rounds, name));
  }
});

const mean = (ratios: number[]) => Math.exp(ratios.reduce((sum, ratio) => sum + Math.log(ratio), 0) / ratios.length);

test("programs that compute, beside the host in Rust", async () => {
  const rounds: { here: Figures[]; host: Figures[] } = { here: [], host: [] };
  for (let i = 0; i < ROUNDS; i++) {
    rounds.host.push(inHost("cpu.py"));
    rounds.here.push(await inBrowser("cpu.py"));
  }
  const ratios = Object.keys(rounds.here[0]).map((name) => {
    const ratio = best(rounds.here, name) / best(rounds.host, name);
    put(`browser_${name.replace(/_ms$/, "_ratio")}`, ratio);
    return ratio;
  });
  put("browser_cpu_ratio", mean(ratios));
});

test("python -c pass, worker and all", async () => {
  const starts = [];
  for (let i = 0; i < 5; i++) {
    const start = performance.now();
    await run(browser.page, { args: ["-c", "pass"] });
    starts.push(performance.now() - start);
  }
  put("browser_pass_ms", Math.min(...starts));
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
threads = [threading.Thread(target=time.sleep, args=(60,), daemon=True) for _ in range(10_000)]
for t in threads: t.start()
time.sleep(1)
print("asleep", flush=True)
time.sleep(60)
`;

test("memory of 10,000 sleepers that the timeline's trace watches", async () => {
  await browser.page.evaluate((code) => {
    const { python } = globalThis as unknown as { python: Python };
    return new Promise<void>((resolve) => {
      const run = python.start(["-c", code], { trace: () => {}, stdout: () => resolve() });
      Object.assign(globalThis, { sleepers: run });
    });
  }, SLEEPERS);
  put("browser_sleepers_mb", (await memory()) / 1e6);
  await browser.page.evaluate(() => (globalThis as unknown as { sleepers: Run }).sleepers.kill());
});

/** Milliseconds from a visit to what tells that Python is there, of a browser that has it cached. */
async function visit(page: Page, url: string, isThere: () => Promise<unknown>): Promise<number> {
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

/** What Pyodide's own console page does before its prompt. */
const PYODIDE_PAGE = `<script type="module">
  import { loadPyodide } from "./pyodide.mjs";
  const pyodide = await loadPyodide();
  pyodide.runPython("from pyodide.console import PyodideConsole; console = PyodideConsole(globals())");
  document.title = "ready";
</script>`;

test("a first visit, and from a later one to a prompt, beside Pyodide", async () => {
  const { context, page, transferred } = await browser.fresh();
  put("browser_first_visit_mb", transferred() / 1e6);
  const hasPrompt = () =>
    (globalThis as unknown as { terminal?: { text: string } }).terminal?.text.includes(">>>");
  const prompt = await visit(page, page.url(), () => page.waitForFunction(hasPrompt));
  const server = await serve(PYODIDE);
  await context.route("**/console.html", (route) =>
    route.fulfill({ contentType: "text/html", body: PYODIDE_PAGE }),
  );
  const isReady = () => document.title === "ready";
  const pyodide = await visit(page, `${server.url}console.html`, () => page.waitForFunction(isReady));
  server.close();
  await context.close();
  put("browser_prompt_s", prompt / 1e3);
  put("browser_pyodide_prompt_s", pyodide / 1e3);
  put("browser_prompt_ratio", prompt / pyodide);
});
