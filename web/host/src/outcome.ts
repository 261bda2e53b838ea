// How a run ended. Reaching a limit is a result, not an error.

export type Outcome =
  /** The program came to its end, with this exit code. */
  | { type: "exited"; code: number }
  /** Every thread waited for another one. Their stacks are on stderr. */
  | { type: "deadlocked" }
  /** The guest broke down: it aborted (with a message on stderr) or WebAssembly trapped. */
  | { type: "trapped"; message: string }
  /** Somebody stopped it from outside. */
  | { type: "killed" };

/** What a run used. */
export interface Usage {
  /** Milliseconds from the start to the end. */
  wallTime: number;
  /** Size of the linear memory at the end, in bytes. It never shrinks. */
  memory: number;
  /** Threads started, the main one included. */
  threads: number;
  /** Times that a fiber was switched to. */
  switches: number;
}

/** Ends a run from inside an import. */
export class Stop extends Error {
  readonly outcome: Outcome;

  constructor(outcome: Outcome) {
    super(`the run ends: ${outcome.type}`);
    this.outcome = outcome;
  }
}
