// vtwasm's Python for a web page: createPython({…}).run(code).

import type { Files } from "./files.ts";
import type { FromWorker, ToWorker } from "./messages.ts";
import type { Outcome, Usage } from "./outcome.ts";
import { Loader, type Tell } from "./parts.ts";
import type { Program } from "./sandbox.ts";
import type { Frame } from "./stacks.ts";

export type { Files, Frame, Outcome, Usage };

export interface PythonOptions {
  /** The folder with Python's files (`dist/python/` of the build). */
  base: string | URL;
  /** Told while they load: bytes that are there, and bytes in all. */
  onProgress?: Tell;
}

export interface RunOptions {
  /** Arguments of the program. */
  args?: string[];
  env?: Record<string, string>;
  /** Files by absolute path, beside the program in /home/web/main.py. */
  files?: Files;
  /** All of stdin. Without it stdin is open, and `Run.write` feeds it. */
  stdin?: string | Uint8Array;
  /** Of a promise the program waits for the end, when much of its output is on its way. */
  stdout?: (bytes: Uint8Array) => void | Promise<void>;
  stderr?: (bytes: Uint8Array) => void | Promise<void>;
  /** Told what happens to the threads, in batches (trace.ts has their form). */
  trace?: (events: Float64Array) => void;
  /** Whether the streams are a terminal. */
  isTerminal?: boolean;
  /** Threads besides the main one, at most: `RuntimeError: can't start new thread` beyond. A tab has room for
   * 20,000, which is the most that can be asked for. */
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
  /** Lets no thread run, or lets them go on. Clocks go on meanwhile. */
  pause(isPaused: boolean): void;
  /** The Python stack of a thread by its fiber (1 is the main thread), the innermost frame first; empty if it
   * is over. */
  stack(fiber: number): Promise<Frame[]>;
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
    "Chrome and Edge have it from version 137 on; in Firefox, set javascript.options.wasm_js_promise_integration " +
    "in about:config."
  );
}

/** Flags of one letter that an interpreter can take on after its start, and variables that it reads
 * when they are wanted: host/vtwasm/src/snapshot.rs has the reasons. */
const FLAGS = "BEIPiqsx";
const VARIABLES = ["PYTHON_BASIC_REPL", "PYTHON_COLORS", "PYTHON_HISTORY", "PYTHONSTARTUP"];

/** Whether a run with this command line and environment may start from the warm image. */
function mayBeWarm(args: string[], env: Record<string, string>): boolean {
  const reads = (name: string) =>
    !VARIABLES.includes(name) && /^(PYTHON.*|LANG|LC_ALL|LC_CTYPE)$/.test(name);
  if (Object.keys(env).some(reads)) return false;
  for (const arg of args) {
    if (!arg.startsWith("-") || arg === "-") return true;
    for (const letter of arg.slice(1)) {
      // The rest is the program's.
      if (letter === "c" || letter === "m") return true;
      if (!FLAGS.includes(letter)) return false;
    }
  }
  return true;
}

/** Loads Python, once for any number of runs.
 *
 * Throws an Error that says what to do if the browser lacks JSPI or a file cannot be loaded. */
export async function createPython(options: PythonOptions): Promise<Python> {
  const missing = whatIsMissing();
  if (missing) throw new Error(missing);
  const loader = await Loader.open(new URL(options.base, document.baseURI));
  const [core, warm] = await loader.loadAll(["core", "warm"], options.onProgress);
  const kept = loader.kept("library").then((response) => response?.bytes());
  const parts = await Promise.all([WebAssembly.compileStreaming(core), warm.bytes(), kept]);
  return new Python(loader, ...parts);
}

export class Python {
  #loader: Loader;
  #module: WebAssembly.Module;
  /** The memory of an interpreter that has started. */
  #warm: Uint8Array;
  /** The memory that one begins with, loaded when somebody first needs it. */
  #cold: Promise<Uint8Array> | null = null;
  /** The standard library's zip, when somebody has needed it. */
  #library: Uint8Array | undefined;

  /** Use {@link createPython}. */
  constructor(loader: Loader, module: WebAssembly.Module, warm: Uint8Array, library: Uint8Array | undefined) {
    this.#loader = loader;
    this.#module = module;
    this.#warm = warm;
    this.#library = library;
  }

  #loadCold(): Promise<Uint8Array> {
    this.#cold ??= this.#loader.load("cold", () => {}).then((response) => response.bytes());
    return this.#cold;
  }

  /** The modules that the warm image has not loaded are in it, so most runs do without. */
  #libraryOrPlace(): Program["library"] {
    const { size } = this.#loader.parts.library;
    return this.#library ?? { url: this.#loader.url("library").href, size };
  }

  #keepLibrary(library: Uint8Array<ArrayBuffer>): void {
    this.#library = library;
    void this.#loader.keep("library", library);
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
    const report = finished(worker, send, options, (library) => this.#keepLibrary(library));
    const begin = (image: Uint8Array) => {
      send({
        type: "run",
        program: {
          module: this.#module,
          image,
          imageIsWanted: false,
          library: this.#libraryOrPlace(),
          args: ["python3", ...args],
          env: Object.entries(env).map(([name, value]) => `${name}=${value}`),
          files: options.files ?? {},
          isTerminal: options.isTerminal ?? false,
          maxThreads: Math.min(options.maxThreads ?? MAX_THREADS, MAX_THREADS),
          maxMemory: options.maxMemory ?? MAX_MEMORY,
          isTraced: options.trace !== undefined,
        },
      });
      for (const message of early.splice(0)) send(message);
      hasBegun = true;
    };
    // What is said before it has begun is said then.
    const early: ToWorker[] = [];
    let hasBegun = false;
    const say = (message: ToWorker) => void (hasBegun ? send(message) : early.push(message));
    if (mayBeWarm(args, options.env ?? {})) begin(this.#warm);
    else this.#loadCold().then(begin, report.fail);
    const write = (bytes: Uint8Array | null) => say({ type: "stdin", bytes });
    if (options.stdin !== undefined) {
      const { stdin } = options;
      write(typeof stdin === "string" ? new TextEncoder().encode(stdin) : stdin);
      write(null);
    }
    return {
      report: report.promise,
      write,
      interrupt: () => say({ type: "interrupt" }),
      kill: report.kill,
      pause: (isPaused) => say({ type: "pause", isPaused }),
      stack: (fiber) => {
        say({ type: "stack", fiber });
        return report.stack(fiber);
      },
    };
  }
}

/** The end of what the worker runs. */
function finished(
  worker: Worker,
  send: (message: ToWorker) => void,
  options: RunOptions,
  keepLibrary: (library: Uint8Array<ArrayBuffer>) => void,
) {
  const started = performance.now();
  let kill = () => {};
  const stacks = new Map<number, (frames: Frame[]) => void>();
  let fail = (_error: unknown) => {};
  const promise = new Promise<Report>((resolve, reject) => {
    fail = reject;
    kill = () => {
      const wallTime = performance.now() - started;
      const usage = { wallTime, memory: 0, threads: 0, switches: 0 };
      resolve({ outcome: { type: "killed" }, usage });
    };
    worker.onerror = (event) => reject(new Error(`Python's worker failed: ${event.message}`));
    worker.onmessage = ({ data }: MessageEvent<FromWorker>) => {
      switch (data.type) {
        case "output":
          void show(data.fd, data.bytes);
          break;
        case "library":
          keepLibrary(data.bytes);
          break;
        case "trace":
          options.trace?.(data.events);
          break;
        case "stack":
          stacks.get(data.fiber)?.(data.frames);
          stacks.delete(data.fiber);
          break;
        case "end":
          resolve({ outcome: data.outcome, usage: data.usage });
          break;
        case "failed":
          reject(new Error(`Python could not be run: ${data.message}`));
          break;
      }
    };
  }).finally(() => {
    worker.terminate();
    for (const answer of stacks.values()) answer([]);
  });
  const show = async (fd: 1 | 2, bytes: Uint8Array) => {
    const { length } = bytes;
    await (fd === 1 ? options.stdout : options.stderr)?.(bytes);
    send({ type: "acknowledge", bytes: length });
  };
  const stack = (fiber: number) =>
    new Promise<Frame[]>((resolve) => {
      // Who asked for the same before gets the newer answer, too.
      const before = stacks.get(fiber);
      stacks.set(fiber, (frames) => {
        before?.(frames);
        resolve(frames);
      });
      void promise.then(
        () => resolve([]),
        () => resolve([]),
      );
    });
  return { promise, kill, fail, stack };
}
