// The sandbox's files: a tree in memory. It knows paths and bytes, and nothing of WASI's layouts.

import { EXIST, INVAL, IO, ISDIR, LOOP, NOENT, NOSPC, NOTDIR, NOTEMPTY, PERM, WasiError } from "./errno.ts";

/** On the way of one path, as on Linux. */
const MOST_LINKS = 40;

let lastInode = 0;

/** Nanoseconds since the epoch. */
export function wallClock(): bigint {
  return BigInt(Math.round((performance.timeOrigin + performance.now()) * 1000)) * 1000n;
}

class Inode {
  readonly number = ++lastInode;
  /** Names that it has. */
  links = 0;
  accessed = wallClock();
  modified = this.accessed;
  changed = this.accessed;

  /** Its contents have changed. */
  touch(): void {
    this.modified = this.changed = wallClock();
  }
}

export class File extends Inode {
  readonly type = "file";
  readonly isReadOnly: boolean;
  size: number;
  /** At least `size` bytes; those beyond are 0. */
  #room: Uint8Array;
  /** What gives the bytes when they are first read. */
  #load: (() => Uint8Array) | null = null;

  constructor(bytes: Uint8Array = new Uint8Array(0), isReadOnly = false) {
    super();
    this.#room = bytes;
    this.size = bytes.length;
    this.isReadOnly = isReadOnly;
  }

  /** A read-only file whose bytes come when they are first read. */
  static late(size: number, load: () => Uint8Array): File {
    const file = new File(new Uint8Array(0), true);
    file.size = size;
    file.#load = load;
    return file;
  }

  /** At most `length` bytes from `offset`, not copied. */
  read(offset: number, length: number): Uint8Array {
    if (this.#load) this.#fill(this.#load);
    return this.#room.subarray(Math.min(offset, this.size), Math.min(offset + length, this.size));
  }

  #fill(load: () => Uint8Array): void {
    try {
      this.#room = load();
    } catch (error) {
      console.error("a file cannot be loaded:", error);
      throw new WasiError(IO);
    }
    this.#load = null;
  }

  write(offset: number, bytes: Uint8Array): void {
    if (offset + bytes.length > this.size) this.resize(offset + bytes.length);
    this.#room.set(bytes, offset);
    this.touch();
  }

  resize(size: number): void {
    if (size > this.#room.length) {
      const room = allocate(Math.max(size, 2 * this.#room.length, 256));
      room.set(this.#room);
      this.#room = room;
    } else if (size < this.size) {
      this.#room.fill(0, size, this.size);
    }
    this.size = size;
    this.touch();
  }
}

function allocate(size: number): Uint8Array {
  try {
    return new Uint8Array(size);
  } catch {
    throw new WasiError(NOSPC);
  }
}

export class Link extends Inode {
  readonly type = "link";
  readonly target: string;

  constructor(target: string) {
    super();
    this.target = target;
  }
}

export class Folder extends Inode {
  readonly type = "folder";
  readonly entries = new Map<string, Node>();
  /** Itself for the root. */
  parent: Folder = this;

  add(name: string, node: Node): void {
    this.entries.set(name, node);
    node.links += 1;
    if (node.type === "folder") node.parent = this;
    this.touch();
  }

  remove(name: string): void {
    const node = this.entries.get(name);
    if (node) node.links -= 1;
    this.entries.delete(name);
    this.touch();
  }
}

export type Node = File | Folder | Link;

/** Where a path leads. */
export interface Place {
  folder: Folder;
  /** Empty for a path that ends in a folder's own name: `.`, `..`, `/`. */
  name: string;
  /** Null: nothing is there yet. */
  node: Node | null;
  /** The path says that it is a folder. */
  isFolder: boolean;
}

export class Tree {
  readonly root = new Folder();

  /** Follows `path` from `from`. Links on the way are followed, the last one only if so said; `left`: how many. */
  resolve(from: Folder, path: string, followLast: boolean, left = { links: MOST_LINKS }): Place {
    if (path === "") throw new WasiError(NOENT);
    if (path.includes("\0")) throw new WasiError(INVAL);
    const parts = path.split("/").filter((part) => part !== "" && part !== ".");
    const isFolder = /(^|\/)\.{0,2}$/.test(path);
    let folder = path.startsWith("/") ? this.root : from;
    let place: Place = { folder, name: "", node: folder, isFolder: true };
    for (const [index, name] of parts.entries()) {
      const isLast = index === parts.length - 1;
      if (name === "..") {
        folder = folder.parent;
        place = { folder, name: "", node: folder, isFolder: true };
        continue;
      }
      const node = folder.entries.get(name) ?? null;
      place = { folder, name, node, isFolder: isLast && isFolder };
      if (node?.type === "link" && (!isLast || followLast || isFolder)) {
        if (left.links-- === 0) throw new WasiError(LOOP);
        place = { ...this.resolve(folder, node.target, true, left), isFolder: place.isFolder };
      }
      if (isLast) break;
      if (!place.node) throw new WasiError(NOENT);
      if (place.node.type !== "folder") throw new WasiError(NOTDIR);
      folder = place.node;
    }
    if (place.isFolder && place.node && place.node.type !== "folder") throw new WasiError(NOTDIR);
    return place;
  }

  /** What is there; ENOENT if nothing is. */
  find(from: Folder, path: string, followLast: boolean): Node {
    const { node } = this.resolve(from, path, followLast);
    if (!node) throw new WasiError(NOENT);
    return node;
  }

  /** Puts something new where nothing may be yet. */
  make(from: Folder, path: string, node: Node): void {
    const place = this.resolve(from, path, false);
    if (place.node) throw new WasiError(EXIST);
    if (place.isFolder && node.type !== "folder") throw new WasiError(NOENT);
    // Its folder was removed while somebody had it open.
    if (place.folder !== this.root && place.folder.links === 0) throw new WasiError(NOENT);
    place.folder.add(place.name, node);
  }

  removeFile(from: Folder, path: string): void {
    const { folder, name, node } = this.resolve(from, path, false);
    if (!node) throw new WasiError(NOENT);
    if (node.type === "folder") throw new WasiError(ISDIR);
    folder.remove(name);
  }

  removeFolder(from: Folder, path: string): void {
    const { folder, name, node } = this.resolve(from, path, false);
    if (!node) throw new WasiError(NOENT);
    if (node.type !== "folder") throw new WasiError(NOTDIR);
    if (name === "") throw new WasiError(INVAL);
    if (node.entries.size > 0) throw new WasiError(NOTEMPTY);
    folder.remove(name);
  }

  rename(from: Folder, path: string, toFolder: Folder, toPath: string): void {
    const source = this.resolve(from, path, false);
    const target = this.resolve(toFolder, toPath, false);
    const { node } = source;
    if (!node) throw new WasiError(NOENT);
    if (source.name === "" || target.name === "") throw new WasiError(INVAL);
    if (node === target.node) return;
    if (node.type === "folder") {
      if (target.node && target.node.type !== "folder") throw new WasiError(NOTDIR);
      if (target.node?.type === "folder" && target.node.entries.size > 0) throw new WasiError(NOTEMPTY);
      for (let at = target.folder; ; at = at.parent) {
        if (at === node) throw new WasiError(INVAL);
        if (at === at.parent) break;
      }
    } else if (target.node?.type === "folder") throw new WasiError(ISDIR);
    if (target.node) target.folder.remove(target.name);
    source.folder.remove(source.name);
    target.folder.add(target.name, node);
  }

  link(from: Folder, path: string, follow: boolean, toFolder: Folder, toPath: string): void {
    const node = this.find(from, path, follow);
    if (node.type === "folder") throw new WasiError(PERM);
    this.make(toFolder, toPath, node);
  }

  /** Puts a file at an absolute path, with the folders on the way; a path that ends in `/` is an empty
   * folder's. */
  put(path: string, file: File): void {
    if (path.endsWith("/")) return void this.folder(path);
    const parts = path.split("/").slice(1);
    const name = parts.pop();
    if (!path.startsWith("/") || !name || parts.includes(""))
      throw new Error(`the file's name ${JSON.stringify(path)} must be an absolute path`);
    this.folder(`/${parts.join("/")}`).add(name, file);
  }

  /** The folder at an absolute path, made if need be. */
  folder(path: string): Folder {
    let at = this.root;
    for (const part of path.split("/").filter((part) => part !== "")) {
      const child = at.entries.get(part) ?? new Folder();
      if (child.type !== "folder") throw new Error(`${part} in ${path} is no folder`);
      if (child.links === 0) at.add(part, child);
      at = child;
    }
    return at;
  }
}
