"""Compile the standard library for the sandbox: `compile_stdlib.py LIB SYSCONFIG OUT PREFIX`.

Runs on the native helper, whose byte code is the sandbox's. Fills OUT with every module of LIB that
the sandbox can use and the one file SYSCONFIG, each as source and as `.pyc`. The byte code is never
checked against the source (unchecked-hash): nothing in the sandbox can change either. PREFIX is
where the modules stand in there.

The helper has few extension modules, so this keeps to what every Python has built in.
"""

import os
import sys
from importlib._bootstrap_external import _code_to_hash_pyc

# Packages that make no sense in the sandbox, or that only tests need.
SKIPPED = {
    "__pycache__",
    "ensurepip",
    "idlelib",
    "lib2to3",
    "site-packages",
    "test",
    "tkinter",
    "turtledemo",
}
SKIPPED_FILES = {"turtle.py"}

NO_HASH = b"\0" * 8
UNCHECKED = False
WORKERS = os.cpu_count() or 2


def modules(lib):
    """Every source file of `lib` to take, relative to it."""
    for folder, folders, files in os.walk(lib):
        folders[:] = sorted(set(folders) - SKIPPED)
        for name in sorted(set(files) - SKIPPED_FILES):
            if name.endswith(".py"):
                yield os.path.relpath(os.path.join(folder, name), lib)


def add(source, out, prefix, path):
    """Put the file `source` under OUT as `path`, with its byte code."""
    with open(source, "rb") as file:
        text = file.read()
    code = compile(text, f"{prefix}/{path}", "exec", dont_inherit=True, optimize=0)
    target = os.path.join(out, path)
    os.makedirs(os.path.dirname(target), exist_ok=True)
    with open(target, "wb") as file:
        file.write(text)
    with open(target + "c", "wb") as file:
        file.write(_code_to_hash_pyc(code, NO_HASH, UNCHECKED))


def in_processes(work, items):
    """Call `work(*item)` for all items, in a few processes; False if one failed."""
    children = []
    for worker in range(WORKERS):
        child = os.fork()
        if child == 0:
            try:
                for item in items[worker::WORKERS]:
                    work(*item)
            except BaseException:
                sys.excepthook(*sys.exc_info())
                os._exit(1)
            os._exit(0)
        children.append(child)
    return all([os.waitpid(child, 0)[1] == 0 for child in children])


def main(lib, sysconfig, out, prefix):
    items = [(os.path.join(lib, path), out, prefix, path) for path in modules(lib)]
    items.append((sysconfig, out, prefix, os.path.basename(sysconfig)))
    return 0 if in_processes(add, items) else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
