// `sockets` of wit/world.wit: those of a program's own network (loopback.ts). A page has no other, which is
// refused with the reason.

import type { Abi } from "./abi.ts";
import { Datagram } from "./datagram.ts";
import { BADF, INVAL, MFILE, NOTCAPABLE, NOTCONN, OPNOTSUPP, WasiError } from "./errno.ts";
import { loopback, Network, Socket, type Address } from "./loopback.ts";
import type { Scheduler } from "./scheduler.ts";
import { Stream } from "./stream.ts";
import { ERROR, Poller, READABLE, Waitable, type Notify } from "./waiting.ts";

const REFUSAL =
  "a browser gives a page no network sockets: the servers and clients of one program reach each other at " +
  "127.0.0.1, and nobody else (`vtwasm run --allow-net` has a network)";

/** Handles at once, at most. */
const HANDLES = 1 << 16;
const DATAGRAM = 1;
const PEEK = 1;
const OUT_OF_BAND = 2;
const TRUNCATE = 4;
/** Bytes of an `address` in memory. */
const ADDRESS = 32;
const EVENT = 8;

/** A name that was looked up, or the name of an address: both are known at once. */
class LookUp extends Waitable {
  readonly ready = READABLE;
}

/** The five arguments that an address is. */
type Spread = [family: number, port: number, high: bigint, low: bigint, scope: number];

function address([family, port, high, low, scope]: Spread): Address {
  return { family, port, high: BigInt.asUintN(64, high), low: BigInt.asUintN(64, low), scope };
}

class Handles {
  #entries = new Map<number, Waitable>();
  #last = 0;

  add(entry: Waitable): number {
    if (this.#entries.size >= HANDLES) throw WasiError.of(MFILE);
    do this.#last = (this.#last % 0x7fff_ffff) + 1;
    while (this.#entries.has(this.#last));
    this.#entries.set(this.#last, entry);
    return this.#last;
  }

  find(handle: number): Waitable | undefined {
    return this.#entries.get(handle);
  }

  /** Of that sort. */
  get<T extends Waitable>(handle: number, sort: abstract new (...args: never[]) => T): T {
    const entry = this.#entries.get(handle);
    if (entry instanceof sort) return entry;
    throw WasiError.of(BADF);
  }

  close(handle: number): void {
    this.get(handle, Waitable).close();
    this.#entries.delete(handle);
  }
}

export function sockets(abi: Abi, scheduler: Scheduler): WebAssembly.ModuleImports {
  const network = new Network();
  const handles = new Handles();
  const notify: Notify = (fiber) => scheduler.notify(fiber);
  const socket = (handle: number) => handles.get(handle, Socket);
  const stream = (handle: number) => {
    const found = socket(handle);
    if (found instanceof Stream) return found;
    throw WasiError.of(OPNOTSUPP);
  };

  /** Puts the result of `action` where `out` says, which is aligned so. */
  function result(out: number, align: 2 | 4 | 8, action: (at: number) => void): void {
    try {
      action((out >>> 0) + align);
      abi.memory.view.setUint8(out >>> 0, 0);
    } catch (error) {
      if (!(error instanceof WasiError)) throw error;
      abi.done(out, error.errno, align);
    }
  }
  const number = (out: number, action: () => number) =>
    result(out, 4, (at) => {
      const value = action();
      abi.memory.view.setUint32(at, value, true);
    });

  function putAddress(at: number, { family, port, high, low, scope }: Address): void {
    const { view } = abi.memory;
    view.setUint8(at, family);
    view.setUint16(at + 2, port, true);
    view.setBigUint64(at + 8, high, true);
    view.setBigUint64(at + 16, low, true);
    view.setUint32(at + 24, scope, true);
  }

  function receive(handle: number, length: number, how: number, at: number): Address {
    // Nobody here sends such bytes.
    if (how & OUT_OF_BAND) throw WasiError.of(INVAL);
    const isTruncating = (how & TRUNCATE) !== 0;
    const { bytes, whole, from } = socket(handle).receive(length >>> 0, (how & PEEK) !== 0, isTruncating);
    abi.list(at, bytes);
    abi.memory.view.setUint32(at + 8, whole, true);
    return from;
  }

  function send(handle: number, list: [address: number, length: number], how: number, to: Address | null): number {
    if (how & OUT_OF_BAND) throw WasiError.of(OPNOTSUPP);
    return socket(handle).send(abi.memory.read(...list), to);
  }

  return {
    open: (family: number, kind: number, out: number) =>
      number(out, () => handles.add(new (kind === DATAGRAM ? Datagram : Stream)(network, family, notify))),
    bind: (handle: number, ...rest: [...Spread, number]) =>
      result(rest[5], 2, () => socket(handle).bind(address(rest.slice(0, 5) as Spread))),
    listen: (handle: number, backlog: number, out: number) =>
      result(out, 2, () => stream(handle).listen(backlog >>> 0)),
    accept: (handle: number, out: number) =>
      result(out, 8, (at) => {
        const accepted = stream(handle).accept();
        abi.memory.view.setUint32(at, handles.add(accepted), true);
        putAddress(at + 8, accepted.remote ?? accepted.local);
      }),
    connect: (handle: number, ...rest: [...Spread, number]) =>
      result(rest[5], 2, () => socket(handle).connect(address(rest.slice(0, 5) as Spread))),
    disconnect: (handle: number, out: number) => result(out, 2, () => socket(handle).disconnect()),
    // 0: what is to be read, 1: what is to be written, 2: both.
    shutdown: (handle: number, which: number, out: number) =>
      result(out, 2, () => socket(handle).shutdown(which !== 1, which !== 0)),
    "local-address": (handle: number, out: number) => result(out, 8, (at) => putAddress(at, socket(handle).local)),
    "remote-address": (handle: number, out: number) =>
      result(out, 8, (at) => {
        const { remote } = socket(handle);
        if (!remote) throw WasiError.of(NOTCONN);
        putAddress(at, remote);
      }),
    "get-option": (handle: number, name: number, out: number) =>
      result(out, 8, (at) => abi.memory.view.setBigInt64(at, socket(handle).option(name), true)),
    "set-option": (handle: number, name: number, value: bigint, out: number) =>
      result(out, 2, () => socket(handle).setOption(name, value)),
    available: (handle: number, out: number) => number(out, () => socket(handle).available),
    receive: (handle: number, length: number, how: number, out: number) =>
      result(out, 4, (at) => void receive(handle, length, how, at)),
    "receive-from": (handle: number, length: number, how: number, out: number) =>
      result(out, 8, (at) => putAddress(at + 16, receive(handle, length, how, at))),
    send: (handle: number, bytes: number, length: number, how: number, out: number) =>
      number(out, () => send(handle, [bytes, length], how, null)),
    "send-to": (handle: number, bytes: number, length: number, how: number, ...rest: [...Spread, number]) =>
      number(rest[5], () => send(handle, [bytes, length], how, address(rest.slice(0, 5) as Spread))),
    close: (handle: number, out: number) => result(out, 2, () => handles.close(handle)),

    "look-up": (name: number, length: number, out: number) =>
      number(out, () => {
        if (abi.memory.text(name, length) !== "localhost") throw WasiError.of(NOTCAPABLE);
        return handles.add(new LookUp(notify));
      }),
    addresses: (handle: number, out: number) =>
      result(out, 4, (at) => {
        handles.get(handle, LookUp);
        abi.records(at, 1, ADDRESS, 8, (record) => putAddress(record, loopback(0, 0)));
      }),
    "look-up-address": (...args: [...Spread, number]) =>
      number(args[5], () => {
        network.checkHere(address(args.slice(0, 5) as Spread));
        return handles.add(new LookUp(notify));
      }),
    name: (handle: number, out: number) =>
      result(out, 4, (at) => {
        handles.get(handle, LookUp);
        abi.list(at, new TextEncoder().encode("localhost"));
      }),

    ready: (handle: number) => handles.find(handle)?.ready ?? ERROR,
    subscribe: (handle: number, interest: number) => {
      const entry = handles.find(handle);
      if (!entry || entry.isReadyFor(interest)) return 1;
      const fiber = scheduler.subscribe();
      if (fiber !== null) entry.wait(fiber, interest);
      return 0;
    },
    poller: (out: number) => number(out, () => handles.add(new Poller(notify))),
    watch: (poller: number, handle: number, interest: number, edge: number, out: number) =>
      result(out, 2, () => handles.get(poller, Poller).watch(socket(handle), { handle, interest, edge: edge !== 0 })),
    events: (poller: number, max: number, out: number) => {
      const found = handles.find(poller);
      const told = found instanceof Poller ? found.take(max >>> 0) : [];
      abi.records(out >>> 0, told.length, EVENT, 4, (record, index) => {
        const [handle, bits] = told[index];
        abi.memory.view.setUint32(record, handle, true);
        abi.memory.view.setUint8(record + 4, bits);
      });
    },
    refusal: (out: number) => abi.list(out, new TextEncoder().encode(REFUSAL)),
  };
}
