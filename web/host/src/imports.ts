// The imports of wit/world.wit, in the form in which the core module has them (the canonical ABI).
// All but `park` return at once.

import type { Abi } from "./abi.ts";
import { Control } from "./control.ts";
import { AGAIN, BADF, INVAL } from "./errno.ts";
import type { Fibers } from "./fibers.ts";
import { Stop } from "./outcome.ts";
import { REASONS } from "./scheduler.ts";
import { sockets } from "./sockets.ts";
import type { Outputs, Stdin } from "./stdio.ts";

export interface Host {
  abi: Abi;
  fibers: Fibers;
  stdin: Stdin;
  outputs: Outputs;
  /** Whether the run is to end in an image of its memory. */
  image: { isWanted: boolean; taken: Uint8Array | null };
}

export function imports(host: Host): WebAssembly.Imports {
  const named = (name: string) => `vtwasm:host/${name}@0.1.0`;
  return {
    [named("fibers")]: fibers(host),
    [named("clocks")]: clocks(host),
    [named("stdio")]: stdio(host),
    [named("sockets")]: sockets(host.abi, host.fibers.scheduler),
    // As many as the guest can count.
    [named("limits")]: { descriptors: () => -1 },
    [named("snapshot")]: snapshot(host),
    [named("calls")]: calls(host.abi),
    "[export]$root": {
      "[task-return]run": (code: number) => host.fibers.end({ type: "exited", code: code >>> 0 }),
      "[task-return]run-thread": () => {},
    },
  };
}

function fibers({ abi, fibers }: Host): WebAssembly.ModuleImports {
  return {
    control: (address: number, _bytes: number, length: number) => {
      const control = new Control(abi.memory, address >>> 0, length);
      fibers.clock.check(control);
      fibers.control = control;
    },
    spawn: (thread: number) => fibers.spawn(thread >>> 0),
    park: new WebAssembly.Suspending((reason: number, subject: number, deadline: bigint) =>
      fibers.park(REASONS[reason], subject >>> 0, deadline < 0n ? null : Number(deadline)),
    ),
    // 0 is no fiber: it is what the interpreter's loop calls (build/rewrite.ts).
    unpark: (fiber: number) => (fiber === 0 ? fibers.clockTick() : fibers.unpark(fiber >>> 0)),
    // Never called: only the component's core module has the checks that do (xtask/src/recipe/checks.rs).
    tick: () => 0x7fffffff,
    finish: () => fibers.finish(),
    exit: (code: number) => {
      throw new Stop({ type: "exited", code: code >>> 0 });
    },
  };
}

function clocks({ fibers }: Host): WebAssembly.ModuleImports {
  const MONOTONIC = 1;
  return {
    now: (clock: number) => {
      const now = fibers.now();
      fibers.tick(now);
      if (clock === MONOTONIC) return BigInt(now);
      const micros = Math.round((performance.timeOrigin + performance.now()) * 1000);
      return BigInt(micros) * 1000n;
    },
    "cpu-time": () => BigInt(Math.round(fibers.cpuTime())),
  };
}

function stdio({ abi, fibers, stdin, outputs }: Host): WebAssembly.ModuleImports {
  return {
    read: (length: number, out: number) => {
      const bytes = stdin.read(length >>> 0);
      if (bytes) abi.bytes(out, bytes);
      else abi.done(out, AGAIN, 4);
    },
    write: (fd: number, address: number, length: number, out: number) => {
      fibers.tick();
      if (fd !== 1 && fd !== 2) return abi.done(out, BADF, 4);
      const taken = Math.min(length >>> 0, outputs.room);
      if (taken <= 0 && length !== 0) return abi.done(out, AGAIN, 4);
      outputs.write(fd, abi.memory.read(address, taken));
      abi.number(out, taken);
    },
    subscribe: (fd: number, _interest: number) => {
      const fiber = fibers.scheduler.subscribe();
      if (fiber === null) return 1;
      return Number(fd === 0 ? stdin.subscribe(fiber) : outputs.subscribe(fiber));
    },
    "is-terminal": (fd: number) => Number(fd === 0 ? stdin.isTerminal : outputs.isTerminal),
  };
}

function snapshot({ abi, image }: Host): WebAssembly.ModuleImports {
  return {
    wanted: () => Number(image.isWanted),
    take: (address: number, length: number) => {
      if (image.isWanted) image.taken = abi.memory.read(address, length);
      throw new Stop({ type: "exited", code: 0 });
    },
  };
}

/** Functions of the embedder: none yet. */
function calls(abi: Abi): WebAssembly.ModuleImports {
  const noCall = (_call: number, out: number) => abi.done(out, BADF, 4);
  return {
    functions: (out: number) => abi.list(out, new Uint8Array(0)),
    start: (_function: number, _address: number, _length: number, out: number) =>
      abi.done(out, INVAL, 4),
    answered: noCall,
    take: noCall,
    cancel: () => {},
  };
}
