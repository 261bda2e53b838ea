// Stream sockets of a program's own network.

import {
  AGAIN,
  ALREADY,
  CONNREFUSED,
  CONNRESET,
  DESTADDRREQ,
  INPROGRESS,
  INVAL,
  ISCONN,
  NOTCONN,
  OPNOTSUPP,
  PIPE,
  WasiError,
} from "./errno.ts";
import { CAPACITY, isListening, OPTION, Socket, type Address, type Message } from "./loopback.ts";
import { ERROR, HANGUP, READABLE, READ_HANGUP, WRITABLE } from "./waiting.ts";

/** A listener has so many connections at most that nobody has accepted, and one more. */
const BACKLOG = 4096;

type State = "new" | "listening" | "connecting" | "connected" | "over";

export class Stream extends Socket {
  readonly kind = "stream";
  #state: State = "new";
  /** The other end. It may be closed. */
  #peer: Stream | null = null;
  #isClosed = false;
  /** What has arrived. */
  #inbox: Uint8Array[] = [];
  #size = 0;
  /** Nothing will arrive any more, or be sent. */
  #isEnded = { read: false, write: false };
  #backlog = 0;
  /** Ends for `accept`, and who connects while there are too many. */
  #arrived: Stream[] = [];
  #queue: { from: Stream; to: Address }[] = [];

  get isListening(): boolean {
    return this.#state === "listening";
  }

  get ready(): number {
    const { read, write } = this.#isEnded;
    switch (this.#state) {
      case "new":
        return WRITABLE | HANGUP | (this.hasError ? ERROR | READABLE : 0);
      case "listening":
        return this.#arrived.length > 0 ? READABLE : 0;
      case "connecting":
        return 0;
      default:
        return (
          (this.#size > 0 || read ? READABLE : 0) |
          (read ? READ_HANGUP : 0) |
          (write || this.#hasRoom ? WRITABLE : 0) |
          (read && write ? HANGUP : 0) |
          (this.hasError ? ERROR : 0)
        );
    }
  }

  /** Not for every byte that was read: a writer is woken for more than that. */
  get #hasRoom(): boolean {
    const peer = this.#peer;
    return !peer || peer.#isClosed || peer.#size <= CAPACITY / 2;
  }

  // ---- connections ----

  listen(backlog: number): void {
    if (this.#state !== "new" && this.#state !== "listening") throw WasiError.of(INVAL);
    this.bindAnywhere();
    this.#backlog = Math.min(backlog, BACKLOG);
    this.#state = "listening";
  }

  connect(address: Address): void {
    this.throwError();
    if (this.#state === "connecting") throw WasiError.of(ALREADY);
    if (this.#state !== "new") throw WasiError.of(ISCONN);
    const to = this.network.reach(this, address);
    this.bindAnywhere();
    this.local = this.network.reach(this, this.local);
    const listener = this.network.find("stream", to, isListening);
    if (!(listener instanceof Stream)) this.fail(CONNREFUSED);
    else if (listener.#arrived.length <= listener.#backlog) listener.#welcome(this, to);
    else {
      this.#state = "connecting";
      listener.#queue.push({ from: this, to });
    }
    // However it has ended: that is told afterwards.
    throw WasiError.of(INPROGRESS);
  }

  #welcome(client: Stream, to: Address): void {
    const server = new Stream(this.network, this.family, this.notify);
    server.local = to;
    join(client, server);
    join(server, client);
    this.#arrived.push(server);
    this.changed(READABLE);
    client.changed(WRITABLE);

    function join(one: Stream, other: Stream): void {
      one.#state = "connected";
      one.#peer = other;
      one.remote = other.local;
    }
  }

  accept(): Stream {
    if (this.#state !== "listening") throw WasiError.of(INVAL);
    const accepted = this.#arrived.shift();
    if (!accepted) throw WasiError.of(AGAIN);
    const next = this.#queue.shift();
    if (next) this.#welcome(next.from, next.to);
    return accepted;
  }

  disconnect(): void {
    throw WasiError.of(OPNOTSUPP);
  }

  // ---- transfers ----

  get available(): number {
    return this.#size;
  }

  receive(length: number, isPeek: boolean): Message {
    const from = this.remote ?? this.local;
    const bytes = this.#take(length, isPeek);
    return { bytes, whole: bytes.length, from };
  }

  #take(length: number, isPeek: boolean): Uint8Array {
    if (this.#size === 0) {
      this.throwError();
      if (this.#state === "new" || this.#state === "listening") throw WasiError.of(NOTCONN);
      if (this.#isEnded.read || length === 0) return new Uint8Array(0);
      throw WasiError.of(AGAIN);
    }
    const bytes = new Uint8Array(Math.min(length, this.#size, CAPACITY));
    let [filled, chunks] = [0, 0];
    for (const chunk of this.#inbox) {
      if (filled === bytes.length) break;
      const part = chunk.subarray(0, bytes.length - filled);
      bytes.set(part, filled);
      filled += part.length;
      if (part.length < chunk.length) {
        if (!isPeek) this.#inbox[chunks] = chunk.subarray(part.length);
        break;
      }
      chunks += 1;
    }
    if (!isPeek) this.#remove(chunks, filled);
    return bytes;
  }

  #remove(chunks: number, bytes: number): void {
    const peer = this.#peer;
    const hadRoom = !peer || peer.#hasRoom;
    this.#inbox.splice(0, chunks);
    this.#size -= bytes;
    if (!hadRoom && peer.#hasRoom) peer.changed(WRITABLE);
  }

  send(bytes: Uint8Array<ArrayBuffer>, remote: Address | null): number {
    if (remote) throw WasiError.of(this.#peer ? ISCONN : DESTADDRREQ);
    this.throwError();
    if (this.#state === "connecting") throw WasiError.of(AGAIN);
    const peer = this.#peer;
    if (!peer || this.#isEnded.write) throw WasiError.of(PIPE);
    if (peer.#isClosed) {
      // Its answer is a reset.
      this.#reset(PIPE);
      return bytes.length;
    }
    const part = bytes.subarray(0, CAPACITY - peer.#size);
    if (part.length === 0 && bytes.length > 0) throw WasiError.of(AGAIN);
    if (part.length > 0) {
      peer.#inbox.push(part);
      peer.#size += part.length;
      peer.changed(READABLE);
    }
    return part.length;
  }

  // ---- the end ----

  shutdown(read: boolean, write: boolean): void {
    if (this.#state === "listening" && read) return this.#stopListening();
    if (this.#state !== "connected") throw WasiError.of(NOTCONN);
    if (write) this.#endWriting();
    if (read) this.#isEnded.read = true;
    this.changed(~0);
  }

  #endWriting(): void {
    this.#isEnded.write = true;
    const peer = this.#peer;
    if (!peer || peer.#isEnded.read) return;
    peer.#isEnded.read = true;
    peer.changed(READABLE | READ_HANGUP | (peer.#isEnded.write ? HANGUP : 0));
  }

  #stopListening(): void {
    this.#state = "new";
    for (const end of this.#arrived.splice(0)) end.#resetPeer();
    for (const { from } of this.#queue.splice(0)) {
      from.#state = "new";
      from.fail(CONNREFUSED);
    }
    this.changed(~0);
  }

  #resetPeer(): void {
    const peer = this.#peer;
    if (peer && !peer.#isClosed) peer.#reset(CONNRESET);
  }

  #reset(error: number): void {
    this.#state = "over";
    this.#isEnded = { read: true, write: true };
    this.#peer = null;
    this.fail(error);
  }

  override close(): void {
    if (this.#state === "listening") this.#stopListening();
    this.#isClosed = true;
    const peer = this.#peer;
    if (peer && !peer.#isClosed) {
      // Who throws away what was sent to it resets the connection.
      if (this.#size > 0 || this.option(OPTION.linger) === 0n) this.#resetPeer();
      else {
        this.#endWriting();
        peer.changed(WRITABLE);
      }
    }
    this.#inbox = [];
    super.close();
  }
}
