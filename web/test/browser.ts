// Starts the built page and Chromium for the tests.

import { createReadStream, statSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { extname, join, normalize } from "node:path";
import { createGzip } from "node:zlib";
import { chromium, type BrowserContext, type Page } from "playwright-core";
import type { Python, Usage } from "../host/src/index.ts";

const TYPES: Record<string, string> = {
  ".html": "text/html",
  ".js": "text/javascript",
  ".mjs": "text/javascript",
  ".css": "text/css",
  ".wasm": "application/wasm",
};

/** As any static host: no header but the type, and texts are packed on their way. */
export async function serve(folder: string): Promise<{ url: string; close: () => void }> {
  const server = createServer((request, response) => {
    const name = normalize(decodeURIComponent(new URL(request.url ?? "/", "http://x").pathname));
    const path = join(folder, name.endsWith("/") ? `${name}index.html` : name);
    const found = statSync(path, { throwIfNoEntry: false });
    if (!found?.isFile()) {
      response.writeHead(404).end();
      return;
    }
    const type = TYPES[extname(path)] ?? "application/octet-stream";
    response.setHeader("Content-Type", type);
    if (type.startsWith("text/")) {
      response.setHeader("Content-Encoding", "gzip");
      createReadStream(path).pipe(createGzip()).pipe(response);
    } else {
      response.setHeader("Content-Length", found.size);
      createReadStream(path).pipe(response);
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return { url: `http://127.0.0.1:${port}/`, close: () => void server.close() };
}

export interface Browser {
  page: Page;
  /** The same page with a memory of its own: nothing is cached. */
  fresh(): Promise<{
    context: BrowserContext;
    page: Page;
    /** Bytes that it has loaded. */
    transferred: () => number;
  }>;
  close(): Promise<void>;
}

export const launch = () =>
  chromium.launch({
    executablePath: process.env["CHROMIUM"] ?? "/usr/bin/chromium",
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });

/** The built page in Chromium, with Python ready in it. */
export async function openPage(): Promise<Browser> {
  const server = await serve(join(import.meta.dirname, "../dist"));
  const browser = await launch();
  const fresh = async () => {
    const context = await browser.newContext();
    const page = await context.newPage();
    page.on("pageerror", (error) => console.error("page:", error.message));
    page.on("console", (message) => console.error("console:", message.text()));
    let bytes = 0;
    const session = await context.newCDPSession(page);
    await session.send("Network.enable");
    session.on("Network.loadingFinished", ({ encodedDataLength }) => (bytes += encodedDataLength));
    await page.goto(server.url);
    await page.getByText("Ready", { exact: true }).waitFor();
    return { context, page, transferred: () => bytes };
  };
  const { page } = await fresh();
  return {
    page,
    fresh,
    close: async () => {
      await browser.close();
      server.close();
    },
  };
}

/** A program for Python in the page. */
export interface Program {
  /** Python's command line, without its name. */
  args: string[];
  files?: Record<string, string>;
  stdin?: string;
  /** Milliseconds after which it is interrupted. */
  interruptAfter?: number;
  maxThreads?: number;
  maxMemory?: number;
}

export interface Result {
  /** As in `exited 0`, `deadlocked`, `trapped: …`, `killed`. */
  outcome: string;
  stdout: string;
  stderr: string;
  usage: Usage;
  /** From the interrupt to the end. */
  afterInterrupt: number;
}

/** Runs a program in the page and kills it after `limit` milliseconds. */
export async function run(page: Page, program: Program, limit = 100_000): Promise<Result> {
  return page.evaluate(
    async ({ program, limit }) => {
      const { python } = globalThis as unknown as { python: Python };
      const texts = { stdout: "", stderr: "" };
      const collect = (stream: "stdout" | "stderr") => {
        const decoder = new TextDecoder();
        return (bytes: Uint8Array) => {
          texts[stream] += decoder.decode(bytes, { stream: true });
        };
      };
      const files = Object.entries(program.files ?? {});
      const run = python.start(program.args, {
        files: Object.fromEntries(files.map(([name, text]) => [name, new TextEncoder().encode(text)])),
        stdin: program.stdin ?? "",
        stdout: collect("stdout"),
        stderr: collect("stderr"),
        maxThreads: program.maxThreads,
        maxMemory: program.maxMemory,
      });
      const killer = setTimeout(() => run.kill(), limit);
      let interrupted = 0;
      if (program.interruptAfter !== undefined)
        setTimeout(() => {
          interrupted = performance.now();
          run.interrupt();
        }, program.interruptAfter);
      const { outcome, usage } = await run.report;
      const afterInterrupt = performance.now() - interrupted;
      clearTimeout(killer);
      let text: string = outcome.type;
      if (outcome.type === "exited") text += ` ${outcome.code}`;
      if (outcome.type === "trapped") text += `: ${outcome.message}`;
      return { outcome: text, ...texts, usage, afterInterrupt };
    },
    { program, limit },
  );
}
