// WASI preview 1 for files, arguments and the environment: what of it Python's core module imports.

import { BADF, EXIST, INVAL, ISDIR, LOOP, NOENT, NOTDIR, OK, ROFS, WasiError } from "./errno.ts";
import type { GuestMemory } from "./memory.ts";
import { File, Folder, Link, Tree, wallClock, type Node } from "./tree.ts";

/** Absolute paths and what the files hold; a path that ends in `/` is an empty folder's. */
export type Files = Record<string, Uint8Array>;

/** Where the guest finds its standard library (guest/main.c). */
const LIBRARY = "/usr/lib/vtwasm/python313.zip";
/** The number of the one preopened folder, `/`; below are the standard streams, which are not WASI's. */
const ROOT = 3;

const FILETYPES = { unknown: 0, folder: 3, file: 4, link: 7 };
const CREATE = 1;
const DIRECTORY = 2;
const EXCLUSIVE = 4;
const TRUNCATE = 8;
const APPEND = 1;
const FOLLOW = 1;
const RIGHT_TO_WRITE = 1n << 6n;

/** An open file or folder. */
interface Open {
  node: File | Folder;
  offset: number;
  /** fdflags. */
  flags: number;
  mayWrite: boolean;
  /** A folder's names when it was last read from its beginning. */
  names: [string, Node][];
}

export class FileSystem {
  readonly imports: WebAssembly.ModuleImports;
  #memory: GuestMemory;
  #tree = new Tree();
  #open: (Open | null)[];

  constructor(memory: GuestMemory, args: string[], env: string[], files: Files, library: File) {
    this.#memory = memory;
    this.#open = [null, null, null, opened(this.#tree.root, 0, false)];
    for (const folder of ["/tmp", "/home/web"]) this.#tree.folder(folder);
    this.#tree.put(LIBRARY, library);
    for (const [path, bytes] of Object.entries(files)) this.#tree.put(path, new File(bytes));
    const functions = { ...this.#descriptors(), ...this.#paths(), ...this.#process(args, env) };
    this.imports = Object.fromEntries(
      Object.entries(functions).map(([name, f]) => [name, errnoOf(f as Parameters<typeof errnoOf>[0])]),
    );
  }

  #descriptors() {
    return {
      fd_prestat_get: (fd: number, out: number) => {
        if (fd !== ROOT) throw new WasiError(BADF);
        this.#view.setUint8(out, 0);
        this.#view.setUint32(out + 4, 1, true);
      },
      fd_prestat_dir_name: (fd: number, out: number, length: number) => {
        if (fd !== ROOT || length < 1) throw new WasiError(fd === ROOT ? INVAL : BADF);
        this.#view.setUint8(out, "/".charCodeAt(0));
      },
      fd_close: (fd: number) => {
        this.#at(fd);
        this.#open[fd] = null;
      },
      fd_advise: (fd: number) => void this.#at(fd),
      fd_datasync: (fd: number) => void this.#at(fd),
      fd_sync: (fd: number) => void this.#at(fd),
      fd_fdstat_get: (fd: number, out: number) => {
        const { node, flags } = this.#at(fd);
        const view = this.#view;
        view.setUint8(out, FILETYPES[node.type]);
        view.setUint16(out + 2, flags, true);
        view.setBigUint64(out + 8, ~0n, true);
        view.setBigUint64(out + 16, ~0n, true);
      },
      fd_fdstat_set_flags: (fd: number, flags: number) => {
        this.#at(fd).flags = flags;
      },
      fd_filestat_get: (fd: number, out: number) => {
        // fstat() of a standard stream asks here.
        this.#stat(out, fd < ROOT ? null : this.#at(fd).node);
      },
      fd_filestat_set_size: (fd: number, size: bigint) => this.#writable(fd).file.resize(Number(size)),
      fd_filestat_set_times: (fd: number, accessed: bigint, modified: bigint, which: number) =>
        setTimes(this.#at(fd).node, accessed, modified, which),
      fd_seek: (fd: number, offset: bigint, whence: number, out: number) => {
        const open = this.#at(fd);
        const from = [0, open.offset, open.node.type === "file" ? open.node.size : 0][whence];
        const target = from + Number(offset);
        if (!(target >= 0)) throw new WasiError(INVAL);
        open.offset = target;
        this.#view.setBigUint64(out, BigInt(target), true);
      },
      fd_tell: (fd: number, out: number) =>
        this.#view.setBigUint64(out, BigInt(this.#at(fd).offset), true),
      fd_read: (fd: number, buffers: number, count: number, out: number) => {
        const open = this.#at(fd);
        open.offset += this.#read(open, open.offset, buffers, count, out);
      },
      fd_pread: (fd: number, buffers: number, count: number, offset: bigint, out: number) =>
        void this.#read(this.#at(fd), Number(offset), buffers, count, out),
      fd_write: (fd: number, buffers: number, count: number, out: number) => {
        const { open, file } = this.#writable(fd);
        if (open.flags & APPEND) open.offset = file.size;
        open.offset += this.#write(file, open.offset, buffers, count, out);
      },
      fd_pwrite: (fd: number, buffers: number, count: number, offset: bigint, out: number) =>
        void this.#write(this.#writable(fd).file, Number(offset), buffers, count, out),
      fd_readdir: (fd: number, buffer: number, size: number, cookie: bigint, out: number) =>
        this.#readFolder(this.#at(fd), buffer, size, Number(cookie), out),
    };
  }

  #paths() {
    return {
      path_create_directory: (fd: number, path: number, length: number) =>
        this.#tree.make(this.#folder(fd), this.#text(path, length), new Folder()),
      path_remove_directory: (fd: number, path: number, length: number) =>
        this.#tree.removeFolder(this.#folder(fd), this.#text(path, length)),
      path_unlink_file: (fd: number, path: number, length: number) =>
        this.#tree.removeFile(this.#folder(fd), this.#text(path, length)),
      path_filestat_get: (fd: number, flags: number, path: number, length: number, out: number) =>
        this.#stat(
          out,
          this.#tree.find(this.#folder(fd), this.#text(path, length), (flags & FOLLOW) !== 0),
        ),
      path_filestat_set_times: (
        fd: number,
        flags: number,
        path: number,
        length: number,
        accessed: bigint,
        modified: bigint,
        which: number,
      ) => {
        const follow = (flags & FOLLOW) !== 0;
        const node = this.#tree.find(this.#folder(fd), this.#text(path, length), follow);
        setTimes(node, accessed, modified, which);
      },
      path_readlink: (
        fd: number,
        path: number,
        length: number,
        buffer: number,
        size: number,
        out: number,
      ) => {
        const node = this.#tree.find(this.#folder(fd), this.#text(path, length), false);
        if (node.type !== "link") throw new WasiError(INVAL);
        const text = new TextEncoder().encode(node.target).subarray(0, size >>> 0);
        this.#memory.bytes.set(text, buffer);
        this.#view.setUint32(out, text.length, true);
      },
      path_symlink: (text: number, textLength: number, fd: number, path: number, length: number) => {
        const link = new Link(this.#text(text, textLength));
        this.#tree.make(this.#folder(fd), this.#text(path, length), link);
      },
      path_link: (
        fd: number,
        flags: number,
        path: number,
        length: number,
        toFd: number,
        toPath: number,
        toLength: number,
      ) => {
        const follow = (flags & FOLLOW) !== 0;
        const target = this.#text(toPath, toLength);
        this.#tree.link(this.#folder(fd), this.#text(path, length), follow, this.#folder(toFd), target);
      },
      path_rename: (
        fd: number,
        path: number,
        length: number,
        toFd: number,
        toPath: number,
        toLength: number,
      ) => {
        const target = this.#text(toPath, toLength);
        this.#tree.rename(this.#folder(fd), this.#text(path, length), this.#folder(toFd), target);
      },
      path_open: (
        fd: number,
        lookup: number,
        path: number,
        length: number,
        how: number,
        rights: bigint,
        _inherited: bigint,
        flags: number,
        out: number,
      ) => {
        const mayWrite = (rights & RIGHT_TO_WRITE) !== 0n;
        const follow = (lookup & FOLLOW) !== 0;
        const node = this.#openPath(this.#folder(fd), this.#text(path, length), follow, how, mayWrite);
        this.#view.setUint32(out, this.#number(opened(node, flags, mayWrite)), true);
      },
    };
  }

  #process(args: string[], env: string[]) {
    const texts = (list: string[]) => list.map((text) => new TextEncoder().encode(`${text}\0`));
    const sizes = (list: Uint8Array[], count: number, size: number) => {
      this.#view.setUint32(count, list.length, true);
      this.#view.setUint32(size, list.reduce((sum, text) => sum + text.length, 0), true);
    };
    const get = (list: Uint8Array[], pointers: number, at: number) => {
      for (const [index, text] of list.entries()) {
        this.#view.setUint32(pointers + 4 * index, at, true);
        this.#memory.bytes.set(text, at);
        at += text.length;
      }
    };
    const [argTexts, envTexts] = [texts(args), texts(env)];
    return {
      args_sizes_get: (count: number, size: number) => sizes(argTexts, count, size),
      args_get: (pointers: number, bytes: number) => get(argTexts, pointers, bytes),
      environ_sizes_get: (count: number, size: number) => sizes(envTexts, count, size),
      environ_get: (pointers: number, bytes: number) => get(envTexts, pointers, bytes),
      random_get: (address: number, length: number) => {
        const MOST = 65_536;
        for (let at = address; at < address + length; at += MOST) {
          const end = Math.min(at + MOST, address + length);
          crypto.getRandomValues(this.#memory.bytes.subarray(at, end) as Uint8Array<ArrayBuffer>);
        }
      },
    };
  }

  get #view(): DataView {
    return this.#memory.view;
  }

  #text(address: number, length: number): string {
    return this.#memory.text(address, length);
  }

  #at(fd: number): Open {
    const open = this.#open[fd];
    if (!open) throw new WasiError(BADF);
    return open;
  }

  #folder(fd: number): Folder {
    const { node } = this.#at(fd);
    if (node.type !== "folder") throw new WasiError(NOTDIR);
    return node;
  }

  #writable(fd: number): { open: Open; file: File } {
    const open = this.#at(fd);
    if (open.node.type !== "file") throw new WasiError(ISDIR);
    if (!open.mayWrite) throw new WasiError(BADF);
    return { open, file: open.node };
  }

  /** The lowest free number. */
  #number(open: Open): number {
    const free = this.#open.indexOf(null, ROOT);
    const fd = free === -1 ? this.#open.length : free;
    this.#open[fd] = open;
    return fd;
  }

  #openPath(from: Folder, path: string, follow: boolean, how: number, mayWrite: boolean) {
    const place = this.#tree.resolve(from, path, follow && !(how & EXCLUSIVE));
    if (place.node && how & CREATE && how & EXCLUSIVE) throw new WasiError(EXIST);
    if (!place.node && how & CREATE && !(how & DIRECTORY)) {
      if (place.isFolder) throw new WasiError(ISDIR);
      const file = new File();
      place.folder.add(place.name, file);
      return file;
    }
    const { node } = place;
    if (!node) throw new WasiError(NOENT);
    if (node.type === "link") throw new WasiError(LOOP);
    if (how & DIRECTORY && node.type !== "folder") throw new WasiError(NOTDIR);
    if (node.type === "folder" && (how & (CREATE | TRUNCATE) || mayWrite)) {
      if (!(how & DIRECTORY)) throw new WasiError(ISDIR);
    }
    if (node.type === "file" && node.isReadOnly && (mayWrite || how & TRUNCATE))
      throw new WasiError(ROFS);
    if (node.type === "file" && how & TRUNCATE) node.resize(0);
    return node;
  }

  /** The guest's buffers: address and length of each. */
  *#buffers(address: number, count: number): Generator<[number, number]> {
    for (let i = 0; i < count; i++) {
      const view = this.#view;
      yield [view.getUint32(address + 8 * i, true), view.getUint32(address + 8 * i + 4, true)];
    }
  }

  #read({ node }: Open, offset: number, buffers: number, count: number, out: number): number {
    if (node.type !== "file") throw new WasiError(ISDIR);
    let done = 0;
    for (const [address, length] of this.#buffers(buffers, count)) {
      const bytes = node.read(offset + done, length);
      this.#memory.bytes.set(bytes, address);
      done += bytes.length;
      if (bytes.length < length) break;
    }
    this.#view.setUint32(out, done, true);
    return done;
  }

  #write(file: File, offset: number, buffers: number, count: number, out: number): number {
    let done = 0;
    for (const [address, length] of this.#buffers(buffers, count)) {
      if (address + length > this.#memory.size) throw new WasiError(INVAL);
      file.write(offset + done, this.#memory.bytes.subarray(address, address + length));
      done += length;
    }
    this.#view.setUint32(out, done, true);
    return done;
  }

  #stat(out: number, node: Node | null): void {
    const view = this.#view;
    this.#memory.bytes.fill(0, out, out + 64);
    view.setUint8(out + 16, FILETYPES[node?.type ?? "unknown"]);
    if (!node) return;
    view.setBigUint64(out + 8, BigInt(node.number), true);
    view.setBigUint64(out + 24, BigInt(node.links), true);
    const size = node.type === "file" ? node.size : node.type === "link" ? node.target.length : 0;
    view.setBigUint64(out + 32, BigInt(size), true);
    view.setBigUint64(out + 40, node.accessed, true);
    view.setBigUint64(out + 48, node.modified, true);
    view.setBigUint64(out + 56, node.changed, true);
  }

  /** As much of the list as there is room for; the last entry may be cut, and is asked for again. */
  #readFolder(open: Open, buffer: number, size: number, cookie: number, out: number): void {
    const { node } = open;
    if (node.type !== "folder") throw new WasiError(NOTDIR);
    if (cookie === 0) open.names = [[".", node], ["..", node.parent], ...node.entries];
    let used = 0;
    for (let i = cookie; i < open.names.length && used < size; i++) {
      const [name, child] = open.names[i];
      const text = new TextEncoder().encode(name);
      const entry = new Uint8Array(24 + text.length);
      const view = new DataView(entry.buffer);
      view.setBigUint64(0, BigInt(i + 1), true);
      view.setBigUint64(8, BigInt(child.number), true);
      view.setUint32(16, text.length, true);
      view.setUint8(20, FILETYPES[child.type]);
      entry.set(text, 24);
      const part = entry.subarray(0, size - used);
      this.#memory.bytes.set(part, buffer + used);
      used += part.length;
    }
    this.#view.setUint32(out, used, true);
  }
}

function opened(node: File | Folder, flags: number, mayWrite: boolean): Open {
  return { node, offset: 0, flags, mayWrite, names: [] };
}

function setTimes(node: Node, accessed: bigint, modified: bigint, which: number): void {
  const now = wallClock();
  if (which & 1) node.accessed = BigInt.asUintN(64, accessed);
  if (which & 2) node.accessed = now;
  if (which & 4) node.modified = BigInt.asUintN(64, modified);
  if (which & 8) node.modified = now;
  node.changed = now;
}

/** The function as WASI has it, which gives an errno. */
function errnoOf(f: (...args: (number | bigint)[]) => void): (...args: (number | bigint)[]) => number {
  return (...args) => {
    try {
      // Addresses and lengths, which may lie above 2 GiB.
      f(...args.map((arg) => (typeof arg === "number" ? arg >>> 0 : arg)));
      return OK;
    } catch (error) {
      if (error instanceof WasiError) return error.errno;
      // A pointer beyond the memory.
      if (error instanceof RangeError) return INVAL;
      throw error;
    }
  };
}
