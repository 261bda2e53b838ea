// The guest's linear memory. It grows, and then every view of it is void: ask for a view each time.

export class GuestMemory {
  #memory: WebAssembly.Memory | null = null;
  #view = new DataView(new ArrayBuffer(0));
  #bytes = new Uint8Array(0);

  /** The instance is made; until then the memory is empty. */
  attach(memory: WebAssembly.Memory): void {
    this.#memory = memory;
  }

  get view(): DataView {
    this.#renew();
    return this.#view;
  }

  get bytes(): Uint8Array {
    this.#renew();
    return this.#bytes;
  }

  /** In bytes. */
  get size(): number {
    return this.#memory?.buffer.byteLength ?? 0;
  }

  /** A copy. Throws RangeError where the guest names bytes beyond its memory. */
  read(address: number, length: number): Uint8Array<ArrayBuffer> {
    return new Uint8Array(this.#list(address, length));
  }

  text(address: number, length: number): string {
    return new TextDecoder().decode(this.#list(address, length));
  }

  #list(address: number, length: number): Uint8Array {
    const start = address >>> 0;
    const end = start + (length >>> 0);
    if (end > this.bytes.length) throw new RangeError("the guest named bytes beyond its memory");
    return this.#bytes.subarray(start, end);
  }

  #renew(): void {
    const buffer = this.#memory?.buffer;
    if (buffer && buffer !== this.#view.buffer) {
      this.#view = new DataView(buffer);
      this.#bytes = new Uint8Array(buffer);
    }
  }
}
