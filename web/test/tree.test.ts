// The files of a sandbox.

import { expect, test } from "vitest";
import { EXIST, INVAL, ISDIR, LOOP, NOENT, NOTDIR, NOTEMPTY, WasiError } from "../host/src/errno.ts";
import { File, Folder, Link, Tree } from "../host/src/tree.ts";

function tree(): Tree {
  const tree = new Tree();
  tree.put("/a/b/file", new File(new TextEncoder().encode("hello")));
  tree.put("/empty/", new File());
  return tree;
}

function errnoOf(f: () => unknown): number {
  try {
    f();
  } catch (error) {
    if (error instanceof WasiError) return error.errno;
    throw error;
  }
  return 0;
}

test("paths go up, stay and may begin at the root", () => {
  const t = tree();
  const file = t.find(t.root, "a/b/file", true);
  expect(t.find(t.root, "./a//b/../b/./file", true)).toBe(file);
  expect(t.find(t.folder("/a"), "/a/b/file", true)).toBe(file);
  expect(t.find(t.folder("/a/b"), "../../../../a/b/file", true)).toBe(file);
  expect(t.find(t.folder("/a/b"), "..", true)).toBe(t.folder("/a"));
});

test("paths that lead nowhere have the errno of POSIX", () => {
  const t = tree();
  expect(errnoOf(() => t.find(t.root, "", true))).toBe(NOENT);
  expect(errnoOf(() => t.find(t.root, "none", true))).toBe(NOENT);
  expect(errnoOf(() => t.find(t.root, "none/file", true))).toBe(NOENT);
  expect(errnoOf(() => t.find(t.root, "a/b/file/", true))).toBe(NOTDIR);
  expect(errnoOf(() => t.find(t.root, "a/b/file/x", true))).toBe(NOTDIR);
  expect(errnoOf(() => t.find(t.root, "a\0", true))).toBe(INVAL);
});

test("links are followed on the way, and at the end if asked to", () => {
  const t = tree();
  t.make(t.root, "to-b", new Link("a/b"));
  t.make(t.root, "a/b/up", new Link("../b/file"));
  t.make(t.root, "loop", new Link("loop"));
  const file = t.find(t.root, "a/b/file", true);
  expect(t.find(t.root, "to-b/file", true)).toBe(file);
  expect(t.find(t.root, "to-b/up", true)).toBe(file);
  expect(t.find(t.root, "to-b/up", false).type).toBe("link");
  expect(t.find(t.root, "to-b/../b", true)).toBe(t.folder("/a/b"));
  expect(errnoOf(() => t.find(t.root, "loop", true))).toBe(LOOP);
});

test("one path follows forty links at most, one after the other or one in the other", () => {
  const t = tree();
  t.make(t.root, "a/here", new Link("../a"));
  const path = (links: number) => "a/" + "here/".repeat(links) + "b";
  expect(t.find(t.root, path(40), true)).toBe(t.folder("/a/b"));
  expect(errnoOf(() => t.find(t.root, path(41), true))).toBe(LOOP);
  // Each would double the way.
  for (let i = 1; i < 50; i++) t.make(t.root, `bomb${i}`, new Link(`bomb${i - 1}/../bomb${i - 1}`));
  t.make(t.root, "bomb0", new Folder());
  expect(errnoOf(() => t.find(t.root, "bomb49", true))).toBe(LOOP);
});

test("a file grows with zeros and shrinks without leaving its past behind", () => {
  const file = new File();
  file.write(3, new Uint8Array([1, 2]));
  expect([...file.read(0, 10)]).toEqual([0, 0, 0, 1, 2]);
  file.resize(4);
  file.resize(6);
  expect([...file.read(0, 10)]).toEqual([0, 0, 0, 1, 0, 0]);
  expect(file.read(100, 10).length).toBe(0);
});

test("rename replaces what may be replaced", () => {
  const t = tree();
  t.put("/other", new File());
  const file = t.find(t.root, "a/b/file", true);
  t.rename(t.root, "a/b/file", t.root, "other");
  expect(t.find(t.root, "other", true)).toBe(file);
  expect(errnoOf(() => t.find(t.root, "a/b/file", true))).toBe(NOENT);
  expect(errnoOf(() => t.rename(t.root, "a", t.root, "a/b/c"))).toBe(INVAL);
  expect(errnoOf(() => t.rename(t.root, "other", t.root, "a"))).toBe(ISDIR);
  expect(errnoOf(() => t.rename(t.root, "empty", t.root, "a"))).toBe(NOTEMPTY);
  t.rename(t.root, "a", t.root, "empty");
  expect(t.folder("/empty").entries.has("b")).toBe(true);
  expect(t.find(t.folder("/empty/b"), "..", true)).toBe(t.folder("/empty"));
});

test("only what is empty can be removed, and each kind by its own call", () => {
  const t = tree();
  expect(errnoOf(() => t.removeFolder(t.root, "a"))).toBe(NOTEMPTY);
  expect(errnoOf(() => t.removeFile(t.root, "a"))).toBe(ISDIR);
  expect(errnoOf(() => t.removeFolder(t.root, "a/b/file"))).toBe(NOTDIR);
  t.removeFile(t.root, "a/b/file");
  const open = t.folder("/a/b");
  t.removeFolder(t.root, "a/b");
  expect(errnoOf(() => t.make(open, "late", new File()))).toBe(NOENT);
  expect(errnoOf(() => t.make(t.root, "a", new Folder()))).toBe(EXIST);
});

test("hard links share one file", () => {
  const t = tree();
  t.link(t.root, "a/b/file", false, t.root, "second");
  const file = t.find(t.root, "second", true);
  expect(file.links).toBe(2);
  t.removeFile(t.root, "a/b/file");
  expect(file.links).toBe(1);
});
