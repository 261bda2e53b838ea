// A network of one program: its sockets reach each other at loopback addresses, and nothing else. They do
// what Linux does, down to its errors.

import {
  ADDRINUSE,
  ADDRNOTAVAIL,
  DESTADDRREQ,
  INVAL,
  NOTCAPABLE,
  OK,
  OPNOTSUPP,
  WasiError,
  type Errno,
} from "./errno.ts";
import { Waitable, type Notify } from "./waiting.ts";

export interface Address {
  /** 0: IPv4; 1: IPv6. */
  family: number;
  port: number;
  high: bigint;
  low: bigint;
  scope: number;
}

export type Kind = "stream" | "datagram";

/** Bytes that wait to be received by one socket, at most. */
export const CAPACITY = 1 << 18;
const FIRST_FREE_PORT = 32_768;
const PORTS = 65_536;

export const OPTION = { error: 0, reuseAddress: 1, linger: 14, receiveBuffer: 15, sendBuffer: 16, v6Only: 18 };
/** Options that are not 0 from the start, by their numbers: of keeping alive, sizes, times to live. */
const DEFAULTS: Record<number, bigint> = {
  5: 7200n,
  6: 75n,
  7: 9n,
  [OPTION.linger]: -1n,
  [OPTION.receiveBuffer]: BigInt(CAPACITY),
  [OPTION.sendBuffer]: BigInt(CAPACITY),
  17: 1n,
  [OPTION.v6Only]: 1n,
  20: 64n,
  21: 64n,
  22: 1n,
  23: 1n,
};

const isUnspecified = ({ high, low }: Address) => high === 0n && low === 0n;

/** 127.0.0.0/8 and ::1, and what stands for them. */
function isLoopback(address: Address): boolean {
  if (isUnspecified(address)) return true;
  return address.family === 0 ? address.low >> 24n === 127n : address.high === 0n && address.low === 1n;
}

const isSameHost = (a: Address, b: Address) => a.high === b.high && a.low === b.low;

export const isSame = (a: Address, b: Address | null) => b !== null && isSameHost(a, b) && a.port === b.port;

export function loopback(family: number, port: number): Address {
  return { family, port, high: 0n, low: family === 0 ? 0x7f000001n : 1n, scope: 0 };
}

export interface Message {
  bytes: Uint8Array;
  /** How long the datagram was. */
  whole: number;
  from: Address;
}

export abstract class Socket extends Waitable {
  abstract readonly kind: Kind;
  readonly family: number;
  readonly network: Network;
  local: Address;
  /** It has a place in the network. */
  isBound = false;
  remote: Address | null = null;
  #error = OK;
  #options = new Map<number, bigint>();

  constructor(network: Network, family: number, notify: Notify) {
    super(notify);
    this.network = network;
    this.family = family;
    this.local = { ...loopback(family, 0), low: 0n };
  }

  bind(address: Address): void {
    if (this.isBound || address.family !== this.family) throw WasiError.of(INVAL);
    if (!isLoopback(address)) throw WasiError.of(ADDRNOTAVAIL);
    this.local = this.network.place(this, address);
    this.isBound = true;
  }

  /** As the first call that needs an address does. */
  bindAnywhere(): void {
    if (!this.isBound) this.bind(this.local);
  }

  option(name: number): bigint {
    if (name === OPTION.error) return BigInt(this.takeError());
    return this.#options.get(name) ?? DEFAULTS[name] ?? 0n;
  }

  setOption(name: number, value: bigint): void {
    // No socket is of both families here.
    if (name === OPTION.v6Only && value === 0n) throw WasiError.of(OPNOTSUPP);
    this.#options.set(name, value);
  }

  get hasError(): boolean {
    return this.#error !== OK;
  }

  fail(error: Errno): void {
    this.#error = error;
    this.changed(~0);
  }

  /** It is told once. */
  takeError(): Errno {
    const error = this.#error;
    this.#error = OK;
    return error;
  }

  throwError(): void {
    if (this.hasError) throw WasiError.of(this.takeError());
  }

  override close(): void {
    this.network.leave(this);
    super.close();
  }

  abstract connect(address: Address): void;
  abstract disconnect(): void;
  abstract shutdown(read: boolean, write: boolean): void;
  abstract get available(): number;
  abstract receive(length: number, isPeek: boolean, isTruncating: boolean): Message;
  abstract send(bytes: Uint8Array<ArrayBuffer>, remote: Address | null): number;
}

export class Network {
  /** By kind and port. */
  #places = new Map<string, Socket[]>();
  #lastPort = FIRST_FREE_PORT;

  /** The address that it gets. */
  place(socket: Socket, wanted: Address): Address {
    const port = wanted.port || this.#freePort(socket.kind);
    const others = this.#at(socket.kind, port);
    for (const other of others) {
      const isApart =
        other.family !== socket.family ||
        !(isSameHost(other.local, wanted) || isUnspecified(other.local) || isUnspecified(wanted));
      if (!isApart && !(mayShare(socket) && mayShare(other))) throw WasiError.of(ADDRINUSE);
    }
    others.push(socket);
    return { ...wanted, port };
  }

  leave(socket: Socket): void {
    const key = `${socket.kind} ${socket.local.port}`;
    const others = this.#places.get(key)?.filter((other) => other !== socket);
    if (others && others.length > 0) this.#places.set(key, others);
    else if (others) this.#places.delete(key);
  }

  /** Who is at an address that a program may reach. The latest comes first. */
  find(kind: Kind, address: Address, suits: (socket: Socket) => boolean): Socket | undefined {
    return this.#places
      .get(`${kind} ${address.port}`)
      ?.findLast(
        (socket) =>
          socket.family === address.family &&
          (isSameHost(socket.local, address) || isUnspecified(socket.local)) &&
          suits(socket),
      );
  }

  /** The address that is really reached, if it is one of here. */
  reach(socket: Socket, address: Address | null): Address {
    if (!address) throw WasiError.of(DESTADDRREQ);
    if (address.family !== socket.family) throw WasiError.of(INVAL);
    this.checkHere(address);
    return isUnspecified(address) ? loopback(address.family, address.port) : address;
  }

  /** Only addresses of here have a name. */
  checkHere(address: Address): void {
    if (!isLoopback(address)) throw WasiError.of(NOTCAPABLE);
  }

  #at(kind: Kind, port: number): Socket[] {
    const key = `${kind} ${port}`;
    const sockets = this.#places.get(key) ?? [];
    this.#places.set(key, sockets);
    return sockets;
  }

  #freePort(kind: Kind): number {
    for (let tries = FIRST_FREE_PORT; tries < PORTS; tries++) {
      this.#lastPort = this.#lastPort + 1 < PORTS ? this.#lastPort + 1 : FIRST_FREE_PORT;
      if (!this.#places.has(`${kind} ${this.#lastPort}`)) return this.#lastPort;
    }
    throw WasiError.of(ADDRINUSE);
  }
}

function mayShare(socket: Socket): boolean {
  return socket.option(OPTION.reuseAddress) !== 0n && !(socket.kind === "stream" && isListening(socket));
}

/** A stream that others may connect to. */
export function isListening(socket: Socket): boolean {
  return "isListening" in socket && socket.isListening === true;
}
