// A sandbox: one Python program and its run.

import { Abi, type Realloc } from "./abi.ts";
import { Fibers } from "./fibers.ts";
import { FileSystem, type Files } from "./files.ts";
import { imports, type Host } from "./imports.ts";
import { GuestMemory } from "./memory.ts";
import type { Outcome, Usage } from "./outcome.ts";
import { stackOf, type Frame } from "./stacks.ts";
import { Outputs, Stdin, type Send } from "./stdio.ts";
import { File } from "./tree.ts";

export interface Program {
  /** Python's core module, compiled. */
  module: WebAssembly.Module;
  /** What the memory begins with. */
  image: Uint8Array;
  /** Whether the run is to end in an image of its memory instead of its program. */
  imageIsWanted: boolean;
  /** The standard library's zip, or where it is. */
  library: Uint8Array | { url: string; size: number };
  /** The command line of Python, its name first. */
  args: string[];
  /** `NAME=value`. */
  env: string[];
  files: Files;
  /** Whether the standard streams are a terminal. */
  isTerminal: boolean;
  /** Threads besides the main one, at most. */
  maxThreads: number;
  /** Bytes of linear memory, at most. */
  maxMemory: number;
  /** Whether somebody watches the threads. */
  isTraced: boolean;
}

/** What build/rewrite.ts says about the module. */
interface About {
  breakerOffset: number;
}

const PAGE = 65_536;

function about(module: WebAssembly.Module): About {
  const [section] = WebAssembly.Module.customSections(module, "vtwasm-web");
  if (!section) throw new Error("python.core.wasm was not prepared for a page (web/build/rewrite.ts)");
  return JSON.parse(new TextDecoder().decode(section)) as About;
}

interface Exports {
  clock: WebAssembly.Global;
  /** `_initialize`, unless that has run in the image. */
  vt_initialize(): void;
  cabi_realloc: Realloc;
  "[async-lift-stackful]run"(): void;
  "[async-lift-stackful]run-thread"(thread: number): void;
}

/** Loads it in the middle of a call, as workers may. */
function loadNow(url: string): Uint8Array<ArrayBuffer> {
  const request = new XMLHttpRequest();
  request.open("GET", url, false);
  request.responseType = "arraybuffer";
  request.send();
  if (request.status !== 200) throw new Error(`${request.status} ${request.statusText}`);
  return new Uint8Array(request.response as ArrayBuffer);
}

export class Sandbox {
  readonly stdin: Stdin;
  readonly outputs: Outputs;
  readonly fibers: Fibers;
  readonly image: Host["image"];
  #program: Program;
  #tellLibrary: (bytes: Uint8Array<ArrayBuffer>) => void;
  #memory = new GuestMemory();
  #startThread: (thread: number) => Promise<void> = () => Promise.reject(new Error("not started"));

  /** `tellLibrary`: told of the standard library when it had to be loaded. */
  constructor(program: Program, send: Send, tellLibrary: (bytes: Uint8Array<ArrayBuffer>) => void = () => {}) {
    this.#tellLibrary = tellLibrary;
    this.#program = program;
    this.image = { isWanted: program.imageIsWanted, taken: null };
    this.fibers = new Fibers(program.maxThreads, !program.imageIsWanted, (thread) =>
      this.#startThread(thread),
    );
    const notify = (fiber: number) => this.fibers.notify(fiber);
    this.stdin = new Stdin(program.isTerminal, notify);
    this.outputs = new Outputs(program.isTerminal, send, notify);
  }

  #host(abi: Abi): Host {
    const { fibers, stdin, outputs, image } = this;
    return { abi, fibers, stdin, outputs, image };
  }

  /** The Python stack of a thread. To be called while no fiber runs. */
  stack(fiber: number): Frame[] {
    const thread = this.fibers.scheduler.threadOf(fiber);
    return thread === null || this.#memory.size === 0 ? [] : stackOf(this.#memory, thread);
  }

  /** Runs the program to its end, once. */
  async run(): Promise<{ outcome: Outcome; usage: Usage }> {
    const started = performance.now();
    const { module, image, library, args, env, files, maxMemory } = this.#program;
    const { breakerOffset } = about(module);
    const pages = Math.ceil(image.length / PAGE);
    const maximum = Math.max(pages, Math.min(Math.floor(maxMemory / PAGE), 65_536));
    const memory = new WebAssembly.Memory({ initial: pages, maximum });
    this.#memory.attach(memory);
    this.#memory.bytes.set(image);
    const abi = new Abi(this.#memory);
    const zip =
      library instanceof Uint8Array
        ? new File(library, true)
        : File.late(library.size, () => {
            const bytes = loadNow(library.url);
            this.#tellLibrary(bytes);
            return bytes;
          });
    const fileSystem = new FileSystem(this.#memory, args, env, files, zip);
    const instance = await WebAssembly.instantiate(module, {
      ...imports(this.#host(abi)),
      wasi_snapshot_preview1: fileSystem.imports,
      "vtwasm:web": { memory },
    });
    const exports = instance.exports as unknown as Exports;
    this.fibers.clock.attach(exports.clock, breakerOffset);
    abi.attach(exports.cabi_realloc);
    exports.vt_initialize();
    this.#startThread = WebAssembly.promising(exports["[async-lift-stackful]run-thread"]);
    const main = WebAssembly.promising(exports["[async-lift-stackful]run"]);
    main().catch((error: unknown) => this.fibers.endWith(error));
    const outcome = await this.fibers.ended;
    const usage = {
      wallTime: performance.now() - started,
      memory: this.#memory.size,
      threads: this.fibers.threads,
      switches: this.fibers.scheduler.switches,
    };
    return { outcome, usage };
  }
}
