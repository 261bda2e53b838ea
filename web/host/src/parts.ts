// Loads Python's files, and keeps them in the browser's cache. They are named by what is in them, so what is
// kept under a name is right.

export type PartName = "core" | "warm" | "cold" | "library";

export interface Part {
  file: string;
  /** In bytes, as it is sent. */
  size: number;
}

/** python.json, which the build makes (web/build/parts.ts). */
export type Parts = Record<PartName, Part>;

const CACHE = "vtwasm-python";
const TYPES: Record<PartName, string> = {
  core: "application/wasm",
  warm: "application/octet-stream",
  cold: "application/octet-stream",
  library: "application/zip",
};

/** Told while files load: bytes that are there, and bytes in all. */
export type Tell = (loaded: number, total: number) => void;

export class Loader {
  readonly parts: Parts;
  #base: URL;
  #cache: Cache | null;

  private constructor(base: URL, parts: Parts, cache: Cache | null) {
    this.#base = base;
    this.parts = parts;
    this.#cache = cache;
  }

  static async open(base: URL): Promise<Loader> {
    const [response, cache] = await Promise.all([get(new URL("python.json", base), "no-cache"), openCache()]);
    const loader = new Loader(base, (await response.json()) as Parts, cache);
    void loader.#forgetOthers();
    return loader;
  }

  url(name: PartName): URL {
    return new URL(this.parts[name].file, this.#base);
  }

  /** What the cache has of it, unpacked. */
  async kept(name: PartName): Promise<Response | undefined> {
    return this.#cache?.match(this.url(name)).catch(() => undefined);
  }

  /** Unpacked; from the cache if it is there. */
  async load(name: PartName, tell: (bytes: number) => void): Promise<Response> {
    const kept = await this.kept(name);
    if (kept) {
      tell(this.parts[name].size);
      return kept;
    }
    const response = await get(this.url(name), "default");
    const count = new TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>>({
      transform: (chunk, controller) => {
        tell(chunk.length);
        controller.enqueue(chunk);
      },
    });
    const unpacked = response.body?.pipeThrough(count).pipeThrough(new DecompressionStream("gzip"));
    const made = new Response(unpacked, { headers: { "Content-Type": TYPES[name] } });
    if (this.#cache) void this.#cache.put(this.url(name), made.clone()).catch(() => {});
    return made;
  }

  async keep(name: PartName, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    const response = new Response(bytes, { headers: { "Content-Type": TYPES[name] } });
    await this.#cache?.put(this.url(name), response).catch(() => {});
  }

  /** Several at once, with a report of how far they are. */
  async loadAll(names: PartName[], tell: Tell | undefined): Promise<Response[]> {
    const total = names.reduce((sum, name) => sum + this.parts[name].size, 0);
    let loaded = 0;
    const count = (bytes: number) => tell?.((loaded += bytes), total);
    return Promise.all(names.map((name) => this.load(name, count)));
  }

  /** Files of earlier versions. */
  async #forgetOthers(): Promise<void> {
    const known = new Set(Object.keys(this.parts).map((name) => this.url(name as PartName).href));
    for (const { url } of (await this.#cache?.keys().catch(() => [])) ?? [])
      if (url.startsWith(this.#base.href) && !known.has(url)) await this.#cache?.delete(url);
  }
}

/** There is none in a page that was not loaded safely, nor in some private windows. */
async function openCache(): Promise<Cache | null> {
  try {
    return await caches.open(CACHE);
  } catch {
    return null;
  }
}

async function get(url: URL, cache: RequestCache): Promise<Response> {
  const response = await fetch(url, { cache }).catch((error: Error) => {
    throw new Error(`cannot load ${url.href}: ${error.message} (is the network there? then load the page again)`);
  });
  if (!response.ok) throw new Error(`cannot load ${url.href}: ${response.status} ${response.statusText}`);
  return response;
}
