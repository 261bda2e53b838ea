"""What the image of the interpreter holds beside what every start has.

Modules that programs commonly import are loaded here, once. They are not in sys.modules, though:
an import searches sys.path as ever, and when it finds such a module in the standard library's zip,
the zip's loader hands out the one that is there already, with all that it imports itself. So a
program sees what it imported and nothing else, and a file of its own stands before a module of the
same name.

A snapshot of the user's holds what code of theirs left as well; what that has imported stays in
sys.modules.

`renew` is called at each start from the image.
"""

import sys

visible = set(sys.modules)

import builtins
import zipimport
from importlib._bootstrap import _resolve_name

MODULES = """
    abc argparse ast asyncio base64 bisect collections contextlib copy csv dataclasses datetime decimal
    enum fnmatch functools glob hashlib heapq html inspect itertools json logging math operator
    pathlib pickle pkgutil pprint queue random re rlcompleter secrets shutil socket ssl statistics string struct
    subprocess tempfile textwrap threading time traceback types typing urllib.parse uuid warnings
    weakref http.client urllib.request
    concurrent.futures concurrent.futures.thread
""".split()

loaded = {}
imports = {}  # module: names of the modules that it imports
import_main = set()  # those that import __main__ itself


importing = []


def is_initializing(name):
    spec = getattr(sys.modules.get(name), "__spec__", None)
    return getattr(spec, "_initializing", False)


def record(import_, name, globals=None, locals=None, fromlist=(), level=0):
    if level:
        name = _resolve_name(name, globals["__package__"], level)
    importer = (globals or {}).get("__name__")
    if importing and importer in (None, "importlib._bootstrap"):
        importer = importing[-1]  # a module in C
    if is_initializing(importer):  # else it is a function that imports
        names = imports.setdefault(importer, {})
        names[name] = None
        for child in fromlist or ():
            names[f"{name}.{child}"] = None
    importing.append(name)
    try:
        return import_(name, globals, locals, fromlist)
    finally:
        importing.pop()


def load():
    import_ = builtins.__import__
    builtins.__import__ = lambda *args, **named: record(import_, *args, **named)
    try:
        for name in MODULES:
            import_(name)
    finally:
        builtins.__import__ = import_


def hide():
    """Take what the zip's loader can hand out again out of sys.modules."""
    for name, module in list(sys.modules.items()):
        loader = getattr(module, "__loader__", None)
        if name not in visible and isinstance(loader, zipimport.zipimporter):
            loaded[name] = sys.modules.pop(name)
    for name in set(sys.modules) - visible:
        package, _, _ = name.rpartition(".")
        if package in loaded:  # collections.abc, which stands elsewhere
            loaded[name] = sys.modules.pop(name)
            imports.setdefault(package, {})[name] = None
    for name, module in loaded.items():
        package, _, child = name.rpartition(".")
        if package and name not in imports.get(package, ()):
            delattr(loaded[package], child)
    for name, module in loaded.items():
        # The objects of __main__ would outlive what they end with.
        if vars(module).pop("__main__", None):
            import_main.add(name)
    for name, names in imports.items():
        imports[name] = known(names)
    for finder in sys.path_importer_cache.values():
        if isinstance(finder, zipimport.zipimporter):
            finder.__class__ = Loader


class Loader(zipimport.zipimporter):
    __module__ = "zipimport"

    def get_filename(self, fullname):
        # The base class reads the module's code for it.
        module = loaded.get(fullname)
        return super().get_filename(fullname) if module is None else module.__file__

    def create_module(self, spec):
        return loaded.get(spec.name)

    def exec_module(self, module):
        if take(module.__name__) is not module:
            super().exec_module(module)
        else:
            hand_out_imports(module.__name__)


def known(names):
    """Those of the names, and of the packages that they are in, that there is something to hand out for."""
    found = {}
    for name in names:
        parts = name.split(".")
        for end in range(1, len(parts) + 1):
            name = ".".join(parts[:end])
            if name in loaded or name in imports:
                found[name] = None
    return tuple(found)


def take(name):
    module = loaded.pop(name, None)
    if name in import_main:
        module.__main__ = sys.modules["__main__"]
        import_main.remove(name)
    return module


def hand_out_imports(name):
    for imported in imports.pop(name, ()):
        if imported in loaded or imported in imports:
            hand_out(imported)


def hand_out(name):
    module = take(name)
    if module is not None:
        if sys.modules.setdefault(name, module) is not module:
            return  # the program has one of its own
        package, _, child = name.rpartition(".")
        if package in sys.modules:
            setattr(sys.modules[package], child, module)
    hand_out_imports(name)


def renewal():
    import logging
    import random
    import site
    import time

    def renew():
        random.seed()
        logging._startTime = time.time_ns()
        if sys.flags.isolated:
            del sys.__interactivehook__
        if sys.flags.no_user_site or len(sys.path) > 1:
            site.main()
        if sys.argv[0] == "-c":
            hand_out("linecache")  # as Python does, but before the current folder is in sys.path

    return renew


def preparation(name, source, renew_all):
    """What runs the user's code, and what renews the rest of what it may have left."""
    import linecache
    import os
    import tempfile
    import traceback
    import uuid

    def prepare():
        sys.argv = [name]
        linecache.cache[name] = len(source), None, source.splitlines(True), name
        try:
            exec(compile(source, name, "exec"), sys.modules["__main__"].__dict__)
            for stream in sys.stdout, sys.stderr:
                stream.flush()
        except SystemExit as end:
            if end.code:
                raise
        except BaseException as error:
            traceback.print_exception(error.with_traceback(error.__traceback__.tb_next))
            sys.exit(1)
        # The folders of a run may be others.
        for folder, finder in list(sys.path_importer_cache.items()):
            if not isinstance(finder, zipimport.zipimporter):
                del sys.path_importer_cache[folder]

    def renew():
        renew_all()
        tempfile._name_sequence = tempfile.tempdir = None
        uuid._node = uuid._last_timestamp = None
        if process := sys.modules.get("multiprocessing.process"):
            process.current_process().authkey = os.urandom(32)

    return prepare, renew


load()
renew = renewal()
if len(sys.argv) > 1:
    prepare, renew = preparation(*sys.argv[1:], renew)
hide()
if len(sys.argv) > 1:
    prepare()
