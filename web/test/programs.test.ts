// The programs of tests/programs in the browser: each must print what it must print under
// `vtwasm run` (tests/programs/README.md).

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openPage, run, type Browser } from "./browser.ts";

const LIMIT_MS = 20_000;
const PROGRAMS = join(import.meta.dirname, "../../tests/programs");
/** Some programs find them beside themselves. */
const CERTIFICATES = Object.fromEntries(
  readdirSync(join(PROGRAMS, "tls_certificates")).map((name) => [
    `/home/web/tls_certificates/${name}`,
    readFileSync(join(PROGRAMS, "tls_certificates", name), "utf8"),
  ]),
);

let browser: Browser;
beforeAll(async () => {
  browser = await openPage();
});
afterAll(() => browser.close());

const names = readdirSync(PROGRAMS)
  .filter((file) => file.endsWith(".py"))
  .map((file) => basename(file, ".py"));

async function check(name: string): Promise<void> {
  const path = join(PROGRAMS, name);
  const code = readFileSync(`${path}.py`, "utf8");
  const head = code.slice(0, code.search(/^(?!#)/m));
  const comment = (word: string) => new RegExp(`^# ${word}: (.*)$`, "m").exec(head)?.[1];
  const args = comment("args")?.split(/\s+/) ?? [];
  const mebibytes = /--memory (\d+)MiB/.exec(head)?.[1];
  const threads = /--max-threads (\d+)/.exec(head)?.[1];
  const result = await run(browser.page, {
    args: [`${name}.py`, ...args.map((arg) => arg.replace("$TMP", "/tmp"))],
    files: { [`/home/web/${name}.py`]: code, ...CERTIFICATES, "/database/": "" },
    maxMemory: mebibytes ? Number(mebibytes) * 2 ** 20 : undefined,
    maxThreads: threads ? Number(threads) : undefined,
  }, LIMIT_MS);
  const { outcome, stdout, stderr } = result;
  const expected = {
    outcome: `exited ${comment("exit") ?? 0}`,
    stdout: readFileSync(`${path}.stdout`, "utf8"),
    stderr: existsSync(`${path}.stderr`) ? readFileSync(`${path}.stderr`, "utf8") : stderr,
  };
  expect({ outcome, stdout, stderr }).toEqual(expected);
}

for (const name of names) test(name, () => check(name));
