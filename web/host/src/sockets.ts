// `sockets` of wit/world.wit: a page has none. Every way to get one is refused with a reason, and so
// nothing else is ever asked of a handle that exists.

import type { Abi } from "./abi.ts";
import { BADF, NOTCAPABLE } from "./errno.ts";

const REFUSAL =
  "a browser gives a page no network sockets (run the program with `vtwasm run --allow-net` instead; " +
  "socket.socketpair() and os.pipe() work here)";

export function sockets(abi: Abi): WebAssembly.ModuleImports {
  /** What gives a handle: `result<handle, errno>` is the last of its arguments. */
  const refuse = (...args: number[]) => abi.done(args[args.length - 1], NOTCAPABLE, 4);
  /** Results of other layouts: the alignment of their values tells where the errno is. */
  const noHandle =
    (align: 2 | 4 | 8) =>
    (...args: (number | bigint)[]) =>
      abi.done(Number(args[args.length - 1]), BADF, align);
  return {
    open: refuse,
    poller: refuse,
    "look-up": refuse,
    "look-up-address": refuse,
    bind: noHandle(2),
    listen: noHandle(2),
    connect: noHandle(2),
    disconnect: noHandle(2),
    shutdown: noHandle(2),
    "set-option": noHandle(2),
    close: noHandle(2),
    watch: noHandle(2),
    available: noHandle(4),
    receive: noHandle(4),
    send: noHandle(4),
    "send-to": noHandle(4),
    addresses: noHandle(4),
    name: noHandle(4),
    accept: noHandle(8),
    "local-address": noHandle(8),
    "remote-address": noHandle(8),
    "get-option": noHandle(8),
    "receive-from": noHandle(8),
    ready: () => 0,
    subscribe: () => 1,
    events: (_poller: number, _max: number, out: number) => abi.list(out, new Uint8Array(0)),
    refusal: (out: number) => abi.list(out, new TextEncoder().encode(REFUSAL)),
  };
}
