// What the page and its worker say to each other. One worker runs one program.

import type { Frame } from "./stacks.ts";
import type { Outcome, Usage } from "./outcome.ts";
import type { Program } from "./sandbox.ts";

export type ToWorker =
  | { type: "run"; program: Program }
  /** null: the end of stdin. */
  | { type: "stdin"; bytes: Uint8Array | null }
  /** The page has taken so many bytes of output. */
  | { type: "acknowledge"; bytes: number }
  | { type: "interrupt" }
  | { type: "pause"; isPaused: boolean }
  /** Asks for a thread's Python stack. */
  | { type: "stack"; fiber: number };

export type FromWorker =
  | { type: "output"; fd: 1 | 2; bytes: Uint8Array }
  /** The standard library was loaded; other runs need not. */
  | { type: "library"; bytes: Uint8Array<ArrayBuffer> }
  | { type: "trace"; events: Float64Array<ArrayBuffer> }
  | { type: "stack"; fiber: number; frames: Frame[] }
  | { type: "end"; outcome: Outcome; usage: Usage }
  /** The host failed to run the guest. */
  | { type: "failed"; message: string };
