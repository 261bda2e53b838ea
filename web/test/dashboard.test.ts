// The dashboard of the job runner (host/server/dashboard), as somebody uses it.

import { spawn, type ChildProcess } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Browser, Dialog, Page } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { launch } from "./browser.ts";
import { AXE, LOOKS } from "./looks.ts";

const SCREENSHOTS = join(import.meta.dirname, "../../target/web/screenshots/dashboard");
mkdirSync(SCREENSHOTS, { recursive: true });

let service: ChildProcess;
let folder: string;
let url: string;
let token: string;
let browser: Browser;
let page: Page;
/** What no page may do: scripts that fail, what the policy forbids, requests to others. */
const faults: string[] = [];

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "dashboard-"));
  const flags = ["--listen=127.0.0.1:0", "--slots=4", `--database=${join(folder, "jobs.db")}`];
  service = spawn(process.env["VTWASM"] ?? "vtwasm", ["serve", ...flags], { stdio: ["ignore", "pipe", "pipe"] });
  const matches = async (stream: NodeJS.ReadableStream | null, pattern: RegExp) => {
    if (!stream) throw new Error("no stream");
    for await (const line of createInterface({ input: stream })) {
      const found = pattern.exec(line)?.[1];
      if (found) {
        stream.resume();
        return found;
      }
    }
    throw new Error(`no line like ${pattern}`);
  };
  [url, token] = await Promise.all([
    matches(service.stderr, /(http:\S+)/),
    matches(service.stdout, /VTWASM_TOKEN=(\S+)/),
  ]);
  browser = await launch();
  page = await visit();
  await signIn(token);
});
afterAll(async () => {
  await browser?.close();
  service?.kill("SIGKILL");
  rmSync(folder, { recursive: true, force: true });
});

/** Nothing asks or tells in a window of its own, but for what a test does. */
function refuse(dialog: Dialog): void {
  faults.push(`dialog: ${dialog.message()}`);
  void dialog.dismiss();
}

/** A tab that knows no token. */
async function visit(): Promise<Page> {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 } });
  const page = await context.newPage();
  await page.exposeFunction("forbidden", (what: string) => faults.push(`policy: ${what}`));
  await page.addInitScript(() => {
    const { forbidden } = globalThis as unknown as { forbidden: (what: string) => void };
    addEventListener("securitypolicyviolation", (event) => forbidden(`${event.violatedDirective} ${event.blockedURI}`));
  });
  page.on("pageerror", (error) => faults.push(error.message));
  page.on("dialog", refuse);
  page.on("request", (request) => {
    if (!request.url().startsWith(url) && !request.url().startsWith("blob:")) faults.push(`request: ${request.url()}`);
  });
  await page.goto(url);
  return page;
}

async function signIn(token: string, at = page): Promise<void> {
  await at.getByLabel("Token").fill(token);
  await at.getByRole("button", { name: "Sign in" }).click();
  await at.getByRole("heading", { name: "Overview" }).waitFor();
}

const button = (name: string) => page.getByRole("button", { name, exact: true });
const go = async (name: string) => {
  await page.getByRole("link", { name, exact: true }).click();
  await page.getByRole("heading", { name, exact: true, level: 1 }).waitFor();
};
/** The state that a run's page shows. */
const state = () => page.locator(".head .badge").first().textContent();
const output = () => page.getByRole("log").textContent();

/** Asks the API itself. */
async function ask(method: string, path: string, body?: unknown, as = token): Promise<any> {
  const headers = { Authorization: `Bearer ${as}`, "Content-Type": "application/json" };
  const response = await fetch(`${url}/v1/${path}`, { method, headers, body: body ? JSON.stringify(body) : null });
  expect(response.ok, `${path}: ${response.status}`).toBe(true);
  return response.status === 204 ? null : response.json();
}
const handIn = async (source: string, more: object = {}, as = token): Promise<string> =>
  (await ask("POST", "jobs", { source, ...more }, as)).id;
const over = (id: string) =>
  expect.poll(async () => (await ask("GET", `jobs/${id}`)).state, { timeout: 60_000 });
const open = async (id: string) => {
  await page.goto(`${url}/#/run/${id}`);
  await page.getByRole("heading", { name: "Output" }).waitFor();
};

test("a wrong token is refused, and nothing is kept of it", async () => {
  const other = await visit();
  await other.getByLabel("Token").fill(`vt_${"0".repeat(64)}`);
  await other.getByRole("button", { name: "Sign in" }).click();
  await expect.poll(() => other.getByRole("alert").textContent()).toContain("this token is unknown");
  expect(await other.evaluate(() => sessionStorage.length + localStorage.length)).toBe(0);
  // What HTTP cannot carry.
  await other.getByLabel("Token").fill("größe 日本");
  await other.getByRole("button", { name: "Sign in" }).click();
  await expect.poll(() => other.getByRole("alert").textContent()).not.toBe("");
  expect(await other.getByLabel("Token").isVisible()).toBe(true);
  await other.context().close();
});

test("a token stays in its tab, is no cookie, and is gone after signing out", async () => {
  const other = await visit();
  await signIn(token, other);
  expect(await other.context().cookies()).toEqual([]);
  await other.reload();
  await other.getByRole("heading", { name: "Overview" }).waitFor();
  const beside = await other.context().newPage();
  await beside.goto(url);
  await beside.getByLabel("Token").waitFor();
  await other.getByRole("button", { name: "Sign out" }).click();
  await other.getByLabel("Token").waitFor();
  expect(await other.evaluate(() => sessionStorage.length)).toBe(0);
  await other.context().close();
});

test("a job is submitted, its lines are seen as they come, and its result", async () => {
  await go("Submit");
  await page.getByLabel("Name", { exact: true }).fill("slow squares");
  const code = [
    "import os, time",
    "def main(n):",
    "    print('one', flush=True)",
    "    while not os.path.exists('/nothing') and time.monotonic() < END: time.sleep(0.05)",
    "    print('two')",
    "    return {'square': n * n}",
    "END = time.monotonic() + 3",
  ];
  await page.getByLabel("Python").fill(code.join("\n"));
  await page.getByLabel("Arguments").fill("{\"n\": 12}");
  await button("Submit").click();
  await page.getByRole("heading", { name: "slow squares" }).waitFor();
  await expect.poll(output).toBe("one\n");
  // The line was there before the end.
  expect(await state()).toBe("STARTED");
  await expect.poll(output, { timeout: 60_000 }).toBe("one\ntwo\n");
  await expect.poll(state).toBe("SUCCESS");
  await expect.poll(() => page.getByLabel("Result").textContent()).toBe('{\n  "square": 144\n}');
  expect(await page.getByRole("term").allTextContents()).toContain("Processor time");
  await go("Runs");
  await page.getByRole("link", { name: "slow squares" }).waitFor();
});

/** Two threads that wait for a lock and sleep, and fail at first. */
const THREADS = `import os, threading, time
lock = threading.Lock()
def work():
    with lock: time.sleep(0.05)
threads = [threading.Thread(target=work) for _ in range(6)]
for thread in threads: thread.start()
for thread in threads: thread.join()
if os.environ["VTWASM_ATTEMPT"] == "1": raise ValueError("again")`;
/** How many pixels of a colour of the page's a canvas has. */
const pixels = (name: string, at = page) =>
  at.evaluate((name) => {
    const canvas = document.querySelector("canvas");
    const context = canvas?.getContext("2d");
    if (!canvas || !context) return -1;
    const colour = getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
    const wanted = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
    const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
    let count = 0;
    for (let i = 0; i < data.length; i += 4) if (wanted.every((value, part) => data[i + part] === value)) count++;
    return count;
  }, name);

test("the timeline of a run's threads is drawn, read, zoomed, and there is one for each start", async () => {
  await go("Submit");
  await page.getByLabel("Name", { exact: true }).fill("threads");
  await page.getByLabel("Python").fill(THREADS);
  await page.getByLabel("Arguments").fill("");
  await page.getByText(/^More/).click();
  await page.getByLabel("Record what its threads do").check();
  await page.getByLabel("Retries").fill("1");
  await button("Submit").click();
  const lanes = page.getByRole("region", { name: "Timeline" });
  await lanes.waitFor({ timeout: 60_000 });
  await expect.poll(state, { timeout: 60_000 }).toBe("SUCCESS");
  const starts = page.getByLabel("Start", { exact: true });
  await expect.poll(() => starts.locator("option").count()).toBe(2);
  expect(await starts.inputValue()).toBe("2");
  for (const name of ["running", "sleeping", "lock"]) await expect.poll(() => pixels(name)).toBeGreaterThan(0);
  expect(await lanes.getByRole("img").getAttribute("aria-label")).toMatch(/^What 7 threads did in /);
  // The last lane is a thread that waits at first for those before it.
  const { width } = (await lanes.boundingBox()) ?? { width: 0 };
  await page.locator("canvas").hover({ position: { x: 76 + (width - 76) * 0.3, y: 22 + 6 * 20 + 10 } });
  await expect.poll(() => page.locator(".reading").textContent()).toMatch(/^thread 6 waits for a lock \(0x[0-9a-f]+\): \d/);
  const before = await pixels("sleeping");
  for (let n = 0; n < 4; n++) await button("Zoom in").click();
  await expect.poll(() => pixels("sleeping")).not.toBe(before);
  await lanes.press("0");
  await expect.poll(() => pixels("sleeping")).toBe(before);
  await page.getByText("Threads and their times").click();
  await expect.poll(() => page.getByRole("table", { name: "Threads" }).locator("tbody tr").count()).toBe(7);
  await starts.selectOption("1");
  await expect.poll(() => pixels("running")).toBeGreaterThan(0);
});

test("a form that cannot be a job says what is wrong", async () => {
  await go("Submit");
  await page.getByLabel("Arguments").fill("[12");
  await button("Submit").click();
  await expect.poll(() => page.getByRole("alert").textContent()).toContain("Arguments: this is no JSON");
  await button("Close").click();
  await page.getByLabel("Arguments").fill("12");
  await button("Submit").click();
  await expect.poll(() => page.getByRole("alert").textContent()).toContain("neither an object nor an array");
});

test("a run is cancelled, and started again", async () => {
  const id = await handIn("import time\nprint('on', flush=True)\ntime.sleep(300)");
  await open(id);
  await expect.poll(output).toBe("on\n");
  await button("Cancel").click();
  await expect.poll(state).toBe("REVOKED");
  await button("Retry").click();
  await expect.poll(output, { timeout: 60_000 }).toContain("— start 2 —\non\n");
  await expect.poll(state).toBe("STARTED");
  await button("Cancel").click();
  await expect.poll(state).toBe("REVOKED");
  const steps = await page.locator(".steps .badge").allTextContents();
  expect(steps).toEqual(["PENDING", "STARTED", "REVOKED", "STARTED", "REVOKED"]);
});

test("runs are filtered by their state and, for an operator, by their tenant", async () => {
  await ask("POST", "tenants", { id: "research" });
  const made = await ask("POST", "tenants/research/tokens", { scopes: ["read", "write"] });
  const theirs = await handIn("print('theirs')", { name: "theirs" }, made.token);
  const failed = await handIn("raise ValueError('no such customer')", { name: "fails" });
  await over(failed).toBe("FAILURE");
  await go("Runs");
  const names = () => page.locator("tbody a").allTextContents();
  await expect.poll(names).toEqual(expect.arrayContaining(["theirs", "fails"]));
  await page.getByLabel("State").selectOption("FAILURE");
  await expect.poll(names).toEqual(["fails"]);
  await page.getByLabel("State").selectOption("");
  await page.getByLabel("Tenant").fill("research");
  await page.getByLabel("Tenant").press("Enter");
  await expect.poll(names).toEqual(["theirs"]);
  // Another tenant's run has a page, too.
  await page.getByRole("link", { name: "theirs" }).click();
  await expect.poll(output, { timeout: 60_000 }).toBe("theirs\n");
  expect(page.url()).toContain(`${theirs}?tenant=research`);
  await page.goBack();
  await page.getByLabel("Tenant").fill("nobody");
  await page.getByLabel("Tenant").press("Enter");
  await page.getByText("No runs.").waitFor();
});

test("more runs than a page has are shown page by page", async () => {
  const later = Array.from({ length: 60 }, (_, n) => handIn("pass", { name: `later ${n}`, delay: 9999 }));
  await Promise.all(later);
  await page.goto(`${url}/#/runs?state=PENDING`);
  const rows = page.locator("tbody tr");
  await expect.poll(() => rows.count()).toBe(50);
  await page.getByRole("link", { name: "Older" }).click();
  await expect.poll(() => rows.count()).toBe(10);
  await page.getByRole("link", { name: "Newest" }).click();
  await expect.poll(() => rows.count()).toBe(50);
});

const EVIL = "<img src=x onerror=\"alert(1)\"><script>alert(2)</script>'\"</pre><svg onload=alert(3)>";

test("markup in a job's name, output, error and result stays text", async () => {
  const text = JSON.stringify(EVIL);
  const failed = await handIn(`import sys\nprint(${text})\nprint(${text}, file=sys.stderr)\nraise ValueError(${text})`, {
    name: EVIL,
  });
  await over(failed).toBe("FAILURE");
  await open(failed);
  await expect.poll(output).toContain(EVIL);
  expect(await page.locator(".error pre").textContent()).toContain(EVIL);
  expect(await page.getByRole("heading", { level: 2 }).first().textContent()).toBe(EVIL);
  const fine = await handIn(`def main(): return ${text}`, { name: EVIL });
  await over(fine).toBe("SUCCESS");
  await open(fine);
  await expect.poll(() => page.getByLabel("Result").textContent()).toBe(text);
  await go("Runs");
  await expect.poll(async () => (await page.locator("tbody a").allTextContents())[0]).toBe(EVIL);
  await go("Overview");
  expect(await page.locator("img, script:not([src]), svg[onload]").count()).toBe(0);
  // Addresses come from others as well.
  for (const part of [`run/${encodeURIComponent(EVIL)}`, `runs?tenant=${EVIL}&state=${EVIL}`, `tenant/%00${EVIL}`, EVIL]) {
    await page.goto(`${url}/#/${part}`);
    await page.getByRole("heading", { level: 1 }).waitFor();
    expect(await page.locator("img, script:not([src])").count()).toBe(0);
  }
  await go("Overview");
});

test("an operator makes a tenant, changes its quotas, and makes and ends its tokens", async () => {
  await go("Tenants");
  await page.getByLabel("New tenant").fill("shop");
  await button("Make").click();
  await page.getByRole("heading", { name: "shop" }).waitFor();
  await page.getByLabel("Jobs at once").fill("3");
  await page.getByLabel("Network").fill("example.com:443\n10.0.0.0/8");
  await button("Save quotas").click();
  await expect.poll(() => page.getByRole("status").textContent()).toBe("The quotas are changed.");
  const { max_running, rules } = await ask("GET", "tenants/shop");
  expect([max_running, rules.network, rules.threads]).toEqual([3, ["example.com:443", "10.0.0.0/8"], 1000]);
  await page.getByLabel("Network").fill("not a rule!");
  await button("Save quotas").click();
  await expect.poll(() => page.getByRole("alert").textContent()).toContain("network");
  await button("Close").click();
  await button("Make a token").click();
  const made = await page.getByLabel("New token").inputValue();
  expect(made).toMatch(/^vt_/);
  // It is good for reading alone, and so are its views.
  const other = await visit();
  await signIn(made, other);
  expect(await other.getByRole("navigation").getByRole("link").allTextContents()).toEqual(["Overview", "Runs", "Schedules", "Files"]);
  await other.goto(`${url}/#/tenants`);
  await other.getByText("Your token has no scope “operator”.").waitFor();
  await agreeing(() => page.getByRole("button", { name: /^End token_/ }).click());
  await expect.poll(() => page.getByRole("status").textContent()).toBe("The token is ended.");
  await other.goto(`${url}/#/runs`);
  await other.getByLabel("Token").waitFor();
  await other.context().close();
});

/** What the page asks is answered with yes. */
async function agreeing(act: () => Promise<void>): Promise<void> {
  page.off("dialog", refuse);
  page.once("dialog", (dialog) => void dialog.accept());
  await act();
  page.on("dialog", refuse);
}
const told = () => page.getByRole("status").textContent();

test("another operator's change of quotas is not overwritten", async () => {
  await ask("POST", "tenants", { id: "changed" });
  await page.goto(`${url}/#/tenant/changed`);
  await page.getByLabel("Packages").fill("requests\nshop");
  await page.getByLabel("Files, MiB", { exact: true }).fill("5");
  await button("Save quotas").click();
  await expect.poll(told).toBe("The quotas are changed.");
  const { artifact_bytes, keep, rules } = await ask("GET", "tenants/changed");
  expect([artifact_bytes, keep, rules.packages]).toEqual([5 * 2 ** 20, null, ["requests", "shop"]]);
  // The form goes on from its own change, and stops at another's.
  await page.getByLabel("Runs are kept, days").fill("2");
  await button("Save quotas").click();
  await expect.poll(async () => (await ask("GET", "tenants/changed")).keep).toBe(2 * 86_400);
  await ask("PUT", "tenants/changed", { max_running: 9 });
  await page.getByLabel("Jobs at once").fill("1");
  await button("Save quotas").click();
  await expect.poll(() => page.getByRole("alert").textContent()).toContain("changed meanwhile");
  expect((await ask("GET", "tenants/changed")).max_running).toBe(9);
  await button("Close").click();
});

test("a secret is set and forgotten, and its value is shown nowhere", async () => {
  await go("Secrets");
  await page.getByText("No secrets.").waitFor();
  await page.getByLabel("Name").fill("SHOP_PASSWORD");
  await page.getByLabel("Value").fill("correct horse");
  await button("Set").click();
  await expect.poll(told).toBe("SHOP_PASSWORD is set.");
  expect(await page.locator("tbody .id").allTextContents()).toEqual(["SHOP_PASSWORD"]);
  expect(await page.getByLabel("Value").inputValue()).toBe("");
  expect(await page.content()).not.toContain("correct horse");
  await agreeing(() => button("Forget SHOP_PASSWORD").click());
  await page.getByText("No secrets.").waitFor();
  expect(await ask("GET", "secrets")).toEqual([]);
});

test("a file is kept, saved and removed", async () => {
  await go("Files");
  const content = "tea and <b>milk</b>";
  await page.getByLabel("File", { exact: true }).setInputFiles({ name: "x.txt", mimeType: "text/plain", buffer: Buffer.from(content) });
  await button("Keep").click();
  await expect.poll(told).toMatch(/^Kept as [0-9a-f]{64}\.$/);
  const sha256 = ((await told()) ?? "").slice(8, 72);
  const download = page.waitForEvent("download");
  await button(`Save ${sha256}`).click();
  const path = await (await download).path();
  expect(readFileSync(path, "utf8")).toBe(content);
  await agreeing(() => button(`Remove ${sha256}`).click());
  await expect.poll(told).toBe("The file is removed.");
  expect(await button(`Save ${sha256}`).count()).toBe(0);
});

test("a schedule is made, told of, and ended", async () => {
  await go("Schedules");
  await page.getByRole("link", { name: "New schedule" }).click();
  await page.getByLabel("Name", { exact: true }).fill("nightly");
  await page.getByText("Again and again").click();
  await page.getByLabel("Times").fill("30 2 * * MON-FRI");
  await page.getByLabel("Hours of").fill("nowhere");
  await button("Submit").click();
  await expect.poll(() => page.getByRole("alert").textContent()).toContain("timezone");
  await button("Close").click();
  await page.getByLabel("Hours of").fill("Europe/Berlin");
  await page.getByLabel("Missed turns").selectOption("one");
  await button("Submit").click();
  await page.getByRole("heading", { name: "nightly" }).waitFor();
  expect(await page.getByRole("definition").allTextContents()).toEqual(
    expect.arrayContaining(["30 2 * * MON-FRI", "Europe/Berlin", "one is made up for", "default"]),
  );
  await go("Schedules");
  await page.getByRole("link", { name: "30 2 * * MON-FRI" }).click();
  await agreeing(() => button("End").click());
  await page.getByText("No schedules.").waitFor();
  expect(await ask("GET", "schedules")).toEqual([]);
});

test("the workers are there, with their slots", async () => {
  await go("Workers");
  await expect.poll(() => page.locator("tbody tr").count()).toBe(1);
  expect(await page.locator("tbody").textContent()).toContain("of 4");
});

test("all of it can be done by the keyboard", async () => {
  const other = await visit();
  await other.getByLabel("Token").focus();
  await other.keyboard.type(token);
  await other.keyboard.press("Enter");
  await other.getByRole("heading", { name: "Overview" }).waitFor();
  const focused = () =>
    other.evaluate(() => {
      const { tagName, textContent } = document.activeElement ?? document.body;
      return `${tagName} ${textContent}`;
    });
  await other.locator("body").press("Tab");
  for (let steps = 0; (await focused()) !== "A Submit" && steps < 30; steps++) await other.keyboard.press("Tab");
  await other.keyboard.press("Enter");
  // A new view begins at its heading.
  await expect.poll(focused).toBe("H1 Submit");
  await other.keyboard.press("Tab");
  await other.keyboard.type("by keys");
  await other.keyboard.press("Enter");
  await other.getByRole("heading", { name: "by keys" }).waitFor();
  await expect.poll(() => other.locator(".head .badge").first().textContent(), { timeout: 60_000 }).toBe("SUCCESS");
  await other.context().close();
});

for (const { name, colorScheme, width, height } of LOOKS)
  test(`no view has a fault that axe finds, or is wider than the window: ${name}`, async () => {
    const failed = await handIn("import sys\nprint('reading')\nprint('no row', file=sys.stderr)\nraise KeyError('total')", {
      name: "report of May",
      retries: 1,
      backoff: 0,
    });
    await over(failed).toBe("FAILURE");
    await page.emulateMedia({ colorScheme });
    await page.setViewportSize({ width, height });
    const threads = await handIn(THREADS, { name: "threads", timeline: true, retries: 1, backoff: 0 });
    await over(threads).toBe("SUCCESS");
    const submission = { source: "print('once more')", name: "nightly", retries: 2 };
    const schedule = await ask("POST", "schedules", { cron: "30 2 * * MON-FRI", timezone: "Europe/Berlin", submission });
    await ask("PUT", "secrets/SHOP_PASSWORD", { value: "correct horse" });
    const views = {
      overview: "",
      runs: "runs?state=SUCCESS",
      run: `run/${failed}`,
      timeline: `run/${threads}`,
      submit: "submit",
      tenants: "tenants",
      tenant: "tenant/research",
      workers: "workers",
      files: "files",
      secrets: "secrets",
      schedules: "schedules",
      schedule: `schedule/${schedule.id}`,
    };
    for (const [shot, view] of Object.entries(views)) {
      await page.goto(`${url}/#/${view}`);
      await page.locator(".view > *").first().waitFor();
      if (view === "submit") await page.getByText(/^More/).click();
      if (shot === "run") await expect.poll(output).toContain("no row");
      if (shot === "timeline") await expect.poll(() => pixels("running")).toBeGreaterThan(0);
      const violations = await page.evaluate(
        `(async () => { ${AXE}; const { violations } = await axe.run();
          return violations.map(({ id, nodes }) => id + ": " + nodes.map((node) => node.html).join(" | ")); })()`,
      );
      expect(violations, view).toEqual([]);
      const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      expect(overflow, view).toBeLessThanOrEqual(0);
      await page.mouse.move(0, 0);
      await page.screenshot({ path: join(SCREENSHOTS, `${name}-${shot}.png`), fullPage: true });
    }
  });

test("the policy forbids what is not the page's own, and the page needs none of it", async () => {
  expect(faults).toEqual([]);
  const markup = () =>
    page.evaluate(() => {
      document.body.innerHTML = "<b>markup</b>";
    });
  await expect(markup()).rejects.toThrow(/TrustedHTML/);
  const inline = () =>
    page.evaluate(() => {
      document.body.append(Object.assign(document.createElement("style"), { textContent: "body { color: red }" }));
    });
  await inline();
  await expect.poll(() => faults.join()).toContain("style-src");
});
