// Datagram sockets of a program's own network.

import { AGAIN, CONNREFUSED, MSGSIZE, NOTCONN, WasiError } from "./errno.ts";
import { CAPACITY, isSame, Socket, type Address, type Message } from "./loopback.ts";
import { ERROR, HANGUP, READABLE, READ_HANGUP, WRITABLE } from "./waiting.ts";

/** What UDP can carry. */
const LONGEST = 65_507;

export class Datagram extends Socket {
  readonly kind = "datagram";
  #inbox: { bytes: Uint8Array; from: Address }[] = [];
  #size = 0;
  #isShut = { read: false, write: false };

  get ready(): number {
    const { read, write } = this.#isShut;
    return (
      WRITABLE |
      (this.#inbox.length > 0 || read ? READABLE : 0) |
      (read ? READ_HANGUP : 0) |
      (read && write ? HANGUP : 0) |
      (this.hasError ? ERROR : 0)
    );
  }

  connect(address: Address): void {
    this.remote = this.network.reach(this, address);
    this.bindAnywhere();
  }

  disconnect(): void {
    this.remote = null;
  }

  /** Who waits is woken even if there is nothing to shut down. */
  shutdown(read: boolean, write: boolean): void {
    this.#isShut = { read: this.#isShut.read || read, write: this.#isShut.write || write };
    this.changed(~0);
    if (!this.remote) throw WasiError.of(NOTCONN);
  }

  get available(): number {
    return this.#inbox[0]?.bytes.length ?? 0;
  }

  receive(length: number, isPeek: boolean, isTruncating: boolean): Message {
    this.throwError();
    const first = isPeek ? this.#inbox[0] : this.#inbox.shift();
    if (!first) throw WasiError.of(AGAIN);
    if (!isPeek) this.#size -= first.bytes.length;
    const bytes = first.bytes.subarray(0, length);
    return { bytes, whole: isTruncating ? first.bytes.length : bytes.length, from: first.from };
  }

  send(bytes: Uint8Array<ArrayBuffer>, remote: Address | null): number {
    this.throwError();
    const to = this.network.reach(this, remote ?? this.remote);
    if (bytes.length > LONGEST) throw WasiError.of(MSGSIZE);
    this.bindAnywhere();
    const from = this.network.reach(this, this.local);
    const hears = (other: Socket) => other.remote === null || isSame(from, other.remote);
    const other = this.network.find("datagram", to, hears);
    if (other instanceof Datagram) other.#deliver(bytes, from);
    else if (isSame(to, this.remote)) this.fail(CONNREFUSED);
    return bytes.length;
  }

  /** What there is no room for is lost. */
  #deliver(bytes: Uint8Array, from: Address): void {
    if (this.#size + bytes.length > CAPACITY) return;
    this.#inbox.push({ bytes, from });
    this.#size += bytes.length;
    this.changed(READABLE);
  }
}
