// The worker's side: runs one program.

import type { FromWorker, ToWorker } from "./messages.ts";
import { Sandbox, type Program } from "./sandbox.ts";
import { Trace } from "./trace.ts";

// The types are a window's, where postMessage asks for an origin.
const scope = self as unknown as {
  postMessage(message: FromWorker, transfer?: Transferable[]): void;
  onmessage: ((event: MessageEvent<ToWorker>) => void) | null;
};

let sandbox: Sandbox | null = null;

scope.onmessage = ({ data }) => {
  switch (data.type) {
    case "run":
      void run(data.program);
      break;
    case "stdin":
      sandbox?.stdin.push(data.bytes);
      break;
    case "acknowledge":
      sandbox?.outputs.acknowledge(data.bytes);
      break;
    case "interrupt":
      sandbox?.fibers.interrupt();
      break;
    case "pause":
      sandbox?.fibers.pause(data.isPaused);
      break;
    case "stack":
      scope.postMessage({ type: "stack", fiber: data.fiber, frames: sandbox?.stack(data.fiber) ?? [] });
      break;
  }
};

async function run(program: Program): Promise<void> {
  try {
    sandbox = new Sandbox(
      program,
      (fd, bytes) => scope.postMessage({ type: "output", fd, bytes }, [bytes.buffer]),
      (bytes) => scope.postMessage({ type: "library", bytes }),
    );
    if (program.isTraced) {
      const { fibers } = sandbox;
      const send = (events: Float64Array<ArrayBuffer>) =>
        scope.postMessage({ type: "trace", events }, [events.buffer]);
      fibers.watch(new Trace(() => fibers.now(), send));
    }
    const { outcome, usage } = await sandbox.run();
    scope.postMessage({ type: "end", outcome, usage });
  } catch (error) {
    scope.postMessage({ type: "failed", message: error instanceof Error ? error.message : String(error) });
  }
}
