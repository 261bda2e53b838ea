// vtwasm's Python for a web page: createPython({…}).run(code).

import type { Files } from "./files.ts";
import type { FromWorker, ToWorker } from "./messages.ts";
import type { Outcome, Usage } from "./outcome.ts";

export type { Files, Outcome, Usage };

export interface PythonOptions {
  /** Where python.core.wasm and python313.zip are. */
  base: string | URL;
  /** Told while they load: bytes that are there, and bytes in all (0: unknown). */
  onProgress?: (loaded: number, total: number) => void;
}

export interface RunOptions {
  /** Arguments of the program. */
  args?: string[];
  env?: Record<string, string>;
  /** Files by absolute path, beside the program in /home/web/main.py. */
  files?: Files;
  /** All of stdin. Without it stdin is open, and `Run.write` feeds it. */
  stdin?: string | Uint8Array;
  stdout?: (bytes: Uint8Array) => void;
  stderr?: (bytes: Uint8Array) => void;
  /** Whether the streams are a terminal. */
  isTerminal?: boolean;
  /** Threads besides the main one, at most: `RuntimeError: can't start new thread` beyond. */
  maxThreads?: number;
  /** Bytes of Python's memory, at most: `MemoryError` beyond. */
  maxMemory?: number;
}

export interface Report {
  outcome: Outcome;
  usage: Usage;
}

/** A program that runs. */
export interface Run {
  readonly report: Promise<Report>;
  /** More of stdin; null ends it. */
  write(bytes: Uint8Array | null): void;
  /** KeyboardInterrupt in the main thread. */
  interrupt(): void;
  /** Ends it at once, whatever it does. */
  kill(): void;
}

const FOLDER = "/home/web";
/** More take more memory than a tab has. */
const MAX_THREADS = 20_000;
const MAX_MEMORY = 2 ** 31;

/** Whether this browser can run it; if not, what to do. */
export function whatIsMissing(): string | null {
  if (typeof WebAssembly === "object" && "Suspending" in WebAssembly) return null;
  return (
    "This browser has no JSPI (JavaScript Promise Integration), which suspends WebAssembly. " +
    "Chrome and Edge have it from version 137 on."
  );
}

/** Loads Python, once for any number of runs.
 *
 * Throws an Error that says what to do if the browser lacks JSPI or a file cannot be loaded. */
export async function createPython(options: PythonOptions): Promise<Python> {
  const missing = whatIsMissing();
  if (missing) throw new Error(missing);
  const base = new URL(options.base, document.baseURI);
  const progress = new Progress(options.onProgress);
  const [module, library] = await Promise.all([
    progress.load(new URL("python.core.wasm", base)).then((r) => WebAssembly.compileStreaming(r)),
    progress.load(new URL("python313.zip", base)).then((r) => r.arrayBuffer()),
  ]);
  return new Python(module, new Uint8Array(library));
}

export class Python {
  #module: WebAssembly.Module;
  #library: Uint8Array;

  /** Use {@link createPython}. */
  constructor(module: WebAssembly.Module, library: Uint8Array) {
    this.#module = module;
    this.#library = library;
  }

  /** Starts a program as /home/web/main.py, in a worker of its own. */
  run(code: string, options: RunOptions = {}): Run {
    const files = { [`${FOLDER}/main.py`]: new TextEncoder().encode(code), ...options.files };
    return this.start(["main.py", ...(options.args ?? [])], { ...options, files });
  }

  /** Starts Python with this command line, `["-c", "print(1)"]` or `["-i"]`. */
  start(args: string[], options: RunOptions = {}): Run {
    const worker = new Worker(new URL("./worker.ts", import.meta.url), { type: "module" });
    const send = (message: ToWorker) => worker.postMessage(message);
    const env = { PWD: FOLDER, HOME: FOLDER, ...options.env };
    const report = finished(worker, send, options);
    send({
      type: "run",
      program: {
        module: this.#module,
        library: this.#library,
        args: ["python3", ...args],
        env: Object.entries(env).map(([name, value]) => `${name}=${value}`),
        files: options.files ?? {},
        isTerminal: options.isTerminal ?? false,
        maxThreads: options.maxThreads ?? MAX_THREADS,
        maxMemory: options.maxMemory ?? MAX_MEMORY,
      },
    });
    const write = (bytes: Uint8Array | null) => send({ type: "stdin", bytes });
    if (options.stdin !== undefined) {
      const { stdin } = options;
      write(typeof stdin === "string" ? new TextEncoder().encode(stdin) : stdin);
      write(null);
    }
    return {
      report: report.promise,
      write,
      interrupt: () => send({ type: "interrupt" }),
      kill: report.kill,
    };
  }
}

/** The end of what the worker runs. */
function finished(worker: Worker, send: (message: ToWorker) => void, options: RunOptions) {
  const started = performance.now();
  let kill = () => {};
  const promise = new Promise<Report>((resolve, reject) => {
    kill = () => {
      const wallTime = performance.now() - started;
      const usage = { wallTime, memory: 0, threads: 0, switches: 0 };
      resolve({ outcome: { type: "killed" }, usage });
    };
    worker.onerror = (event) => reject(new Error(`Python's worker failed: ${event.message}`));
    worker.onmessage = ({ data }: MessageEvent<FromWorker>) => {
      switch (data.type) {
        case "output":
          (data.fd === 1 ? options.stdout : options.stderr)?.(data.bytes);
          send({ type: "acknowledge", bytes: data.bytes.length });
          break;
        case "end":
          resolve({ outcome: data.outcome, usage: data.usage });
          break;
        case "failed":
          reject(new Error(`Python could not be run: ${data.message}`));
          break;
      }
    };
  }).finally(() => worker.terminate());
  return { promise, kill };
}

/** Counts bytes of several downloads. */
class Progress {
  #loaded = 0;
  #total = 0;
  #tell: ((loaded: number, total: number) => void) | undefined;

  constructor(tell: ((loaded: number, total: number) => void) | undefined) {
    this.#tell = tell;
  }

  async load(url: URL): Promise<Response> {
    const response = await fetch(url);
    if (!response.ok || !response.body)
      throw new Error(`cannot load ${url.href}: ${response.status} ${response.statusText}`);
    // Of a body that is sent compressed the header tells another length.
    const encoded = response.headers.has("content-encoding");
    this.#total += encoded ? 0 : Number(response.headers.get("content-length") ?? 0);
    const count = new TransformStream<Uint8Array, Uint8Array>({
      transform: (chunk, controller) => {
        this.#loaded += chunk.length;
        this.#tell?.(this.#loaded, this.#total);
        controller.enqueue(chunk);
      },
    });
    // With its type, which WebAssembly.compileStreaming asks for.
    return new Response(response.body.pipeThrough(count), { headers: response.headers });
  }
}
