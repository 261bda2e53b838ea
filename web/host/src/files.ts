// The sandbox's files: a tree in memory, by browser_wasi_shim.

import {
  ConsoleStdout,
  Directory,
  File,
  PreopenDirectory,
  WASI,
  type Inode,
} from "@bjorn3/browser_wasi_shim";
import type { GuestMemory } from "./memory.ts";

/** Absolute paths and what the files hold. */
export type Files = Record<string, Uint8Array>;

/** Where the guest finds its standard library (guest/main.c). */
export const LIBRARY = "/usr/lib/vtwasm/python313.zip";

export class FileSystem {
  readonly imports: WebAssembly.ModuleImports;
  #wasi: WASI;
  #memory: GuestMemory;

  constructor(memory: GuestMemory, args: string[], env: string[], files: Files, library: Uint8Array) {
    const root = new Map<string, Inode>();
    for (const folder of ["/tmp", "/home/web"]) folderAt(root, folder.split("/").slice(1));
    put(root, LIBRARY, new File(library, { readonly: true }));
    for (const [path, bytes] of Object.entries(files)) put(root, path, new File(bytes));
    // The standard streams are not WASI's; they only have their places here.
    const stream = () => new ConsoleStdout(() => {});
    const fds = [stream(), stream(), stream(), new PreopenDirectory("/", root)];
    this.#memory = memory;
    this.#wasi = new WASI(args, env, fds);
    this.imports = { ...this.#wasi.wasiImport, args_sizes_get: this.#argsSizes };
  }

  attach(instance: WebAssembly.Instance): void {
    // The shim wants no more of it than its memory.
    this.#wasi.inst = instance as unknown as WASI["inst"];
  }

  /** The shim counts characters here, and writes bytes there. */
  #argsSizes = (count: number, size: number): number => {
    const bytes = this.#wasi.args.map((arg) => new TextEncoder().encode(arg).length + 1);
    const view = this.#memory.view;
    view.setUint32(count, bytes.length, true);
    view.setUint32(
      size,
      bytes.reduce((sum, length) => sum + length, 0),
      true,
    );
    return 0;
  };
}

function put(root: Map<string, Inode>, path: string, file: File): void {
  const parts = path.split("/").slice(1);
  const name = parts.pop();
  if (!path.startsWith("/") || !name || parts.includes(""))
    throw new Error(`the file's name ${JSON.stringify(path)} must be an absolute path`);
  folderAt(root, parts).set(name, file);
}

function folderAt(root: Map<string, Inode>, parts: string[]): Map<string, Inode> {
  let folder = root;
  for (const part of parts) {
    let child = folder.get(part);
    if (!child) folder.set(part, (child = new Directory(new Map())));
    if (!(child instanceof Directory)) throw new Error(`${part} is a file and cannot hold files`);
    folder = child.contents;
  }
  return folder;
}
