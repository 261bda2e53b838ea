"""Ways to recurse through CPython's C code without end, on the main thread and on another.

Each must end in an exception; a trap ends the whole run. The limits in include/vtwasm_force.h were
measured with these: build with VTWASM_C_RECURSION_LIMIT as a variable, and halve the interval
between a limit that traps and one that does not; the native stack divided by that limit is what the
path takes per unit.

    vtwasm run recursion_paths.py [NAME...]

`cargo xtask test recursion_paths` runs all of them.
"""
import gc
import sys
import threading

ENDS = (RecursionError, MemoryError, ValueError, SyntaxError, OverflowError)

# Endless: a class or a function that calls itself by way of C, and the call that starts it.
ENDLESS = {
    "getattr": ("class A:\n def __getattr__(s, n): return getattr(s, n + 'x')", "A().x"),
    "attribute": ("class A:\n def __getattr__(s, n): return s.foo", "A().x"),
    "getattribute": ("class A:\n def __getattribute__(s, n): return s.foo", "A().x"),
    "property": ("class A:\n x = property(lambda s: s.x)", "A().x"),
    "descriptor": ("class D:\n def __get__(s, o, t): return o.x\nclass A: x = D()", "A().x"),
    "setattr": ("class A:\n def __setattr__(s, n, v): setattr(s, n, v)", "setattr(A(), 'x', 1)"),
    "add": ("class A:\n def __add__(s, o): return s + o", "A() + 1"),
    "radd": ("class A:\n def __radd__(s, o): return sum([s])", "sum([A()])"),
    "call": ("class A:\n def __call__(s, *a): return s(*a)", "A()(1)"),
    "init": ("class A:\n def __init__(s): A()", "A()"),
    "new": ("class A:\n def __new__(c): return A()", "A()"),
    "iter": ("class A:\n def __iter__(s): return iter(s)", "iter(A())"),
    "next": ("class A:\n def __next__(s): return next(s)", "next(A())"),
    "contains": ("class A:\n def __contains__(s, o): return o in s", "1 in A()"),
    "eq": ("class A:\n def __eq__(s, o): return o == s", "A() == A()"),
    "hash": ("class A:\n def __hash__(s): return hash((s,))", "hash(A())"),
    "dict hash": ("class A:\n def __hash__(s): return len({A(): 1})", "{A(): 1}"),
    "bool": ("class A:\n def __bool__(s): return any([s])", "any([A()])"),
    "index": ("class A:\n def __index__(s): return [1][s]", "[1][A()]"),
    "str": ("class A:\n def __str__(s): return '%s' % s", "str(A())"),
    "format": ("class A:\n def __format__(s, f): return '{:x}'.format(s)", "format(A())"),
    "missing": ("class A(dict):\n def __missing__(s, k): return s[k]", "A()[1]"),
    "instancecheck": ("class M(type):\n def __instancecheck__(c, o): return isinstance(o, c)\n"
                      "class A(metaclass=M): pass", "isinstance(1, A)"),
    "mro": ("class M(type):\n def mro(c): return M('B', (), {})", "M('B', (), {})"),
    "init_subclass": ("class A:\n def __init_subclass__(c): type('B', (A,), {})",
                      "type('B', (A,), {})"),
    "set_name": ("class D:\n def __set_name__(s, o, n): type('B', (), {'x': D()})",
                 "type('B', (), {'x': D()})"),
    "sorted": ("def f(x): return sorted([1, 2], key=f)", "f(1)"),
    "list.sort": ("class A:\n def __lt__(s, o): return [A(), A()].sort()", "[A(), A()].sort()"),
    "min": ("def f(x): return min([1, 2], key=f)", "f(1)"),
    "map": ("def f(x): return list(map(f, [1]))", "f(1)"),
    "reduce": ("import functools\ndef f(a, b): return functools.reduce(f, [1, 2, 3])", "f(1, 1)"),
    "lru_cache": ("import functools\n@functools.lru_cache(None)\ndef f(n): return f(n + 1)", "f(0)"),
    "partial": ("import functools\ndef f(): return g()\ng = functools.partial(f)", "f()"),
    "cmp_to_key": ("import functools\ndef f(a, b): sorted([1, 2], key=functools.cmp_to_key(f))",
                   "f(1, 1)"),
    "accumulate": ("import itertools\ndef f(a, b): return list(itertools.accumulate([1, 2], f))",
                   "f(1, 1)"),
    "starmap": ("import itertools\ndef f(a): return list(itertools.starmap(f, [(1,)]))", "f(1)"),
    "attrgetter": ("import operator\nclass A:\n"
                   " def __getattr__(s, n): return operator.attrgetter('a')(s)", "A().x"),
    "re.sub": ("import re\ndef f(m): return re.sub('a', f, 'a')", "f(1)"),
    "heapify": ("import heapq\nclass A:\n def __lt__(s, o): heapq.heapify([A(), A()])",
                "heapq.heapify([A(), A()])"),
    "csv": ("import csv\nclass A:\n def __iter__(s): return s\n"
            " def __next__(s): return next(csv.reader(A()))", "next(csv.reader(A()))"),
    "buffered": ("import io\nclass R(io.RawIOBase):\n def readable(s): return True\n"
                 " def readinto(s, b): return len(io.BufferedReader(R()).read(1))",
                 "io.BufferedReader(R()).read(1)"),
    "codec": ("import codecs\ndef h(e): return ('\\udc00'.encode('ascii', 'hh'), e.end)\n"
              "codecs.register_error('hh', h)", "'\\udc00'.encode('ascii', 'hh')"),
    "expat": ("import pyexpat\ndef h(*a):\n p = pyexpat.ParserCreate()\n"
              " p.StartElementHandler = h\n p.Parse('<a>')", "h()"),
    "warnings": ("import warnings\ndef f(*a, **k): warnings.warn('x' + str(id(a)))\n"
                 "warnings.simplefilter('always')\nwarnings._showwarnmsg_impl = f",
                 "warnings.warn('x')"),
    "datetime": ("import datetime\nclass T(datetime.tzinfo):\n def utcoffset(s, d):\n"
                 "  return datetime.datetime(1, 1, 1, tzinfo=s).utcoffset()",
                 "datetime.datetime(1, 1, 1, tzinfo=T()).utcoffset()"),
    "import": ("import sys\nclass F:\n def find_spec(s, n, p, t=None): __import__(n + 'x')",
               "sys.meta_path.insert(0, F()) or __import__('foo')"),
    "local": ("import threading\nclass L(threading.local):\n def __init__(s): L().x", "L().x"),
    "eval": ("def f(): return eval('f()', {'f': f})", "f()"),
    "generator": ("def g(): yield from g()", "list(g())"),
    "await": ("async def f(): await f()", "f().send(None)"),
    "property of attrgetter": ("import operator\nclass A: x = property(operator.attrgetter('x'))", "A().x"),
    "property of methodcaller": ("import operator\nclass A: x = property(operator.methodcaller('x'))",
                                 "A().x"),
    "property of itemgetter": ("import operator\nclass A: __getitem__ = property(operator.itemgetter(0))",
                               "A()[0]"),
    "property of int": ("class A: __int__ = property(int)", "int(A())"),
    "property of bool": ("class A: __bool__ = property(bool)", "not A()"),
    "chain of itself": ("import itertools\nitems = []\nit = itertools.chain.from_iterable(items)\n"
                        "items.append(it)", "next(it)"),
    "partial of itself": ("import functools\nf = functools.partial(len)\nf.__setstate__((f, (), {}, {}))",
                          "f()"),
    "class body": ("def f():\n class A: f()", "f()"),
}

# Deep: something nested, and what walks it.
DEEP = {
    "repr": "repr(lists)", "==": "lists == lists2", "json": "json.dumps(lists)",
    "json objects": "json.dumps(dicts)", "json text": "json.loads('[' * 60000)",
    "pickle": "pickle.dumps(lists)", "marshal": "marshal.dumps(lists)",
    "marshal text": "marshal.loads(b'(' + b'\\1\\0\\0\\0(' * 60000)",
    "isinstance": "isinstance(1, tuples)", "minus": "compile('-' * 60000 + '1', '', 'eval')",
    "dots": "compile('a' + '.b' * 60000, '', 'eval')",
    "sum": "compile('a+' * 60000 + '1', '', 'eval')",
    "elif": "compile('if a: pass\\n' + 'elif a: pass\\n' * 60000, '', 'exec')",
    "lambda": "compile('lambda:' * 60000 + '1', '', 'eval')",
    "ast": "ast.parse('a' + '.b' * 60000)", "symtable": "symtable.symtable('a' + '.b' * 60000, '', 'exec')",
}

# Chains: what the first holds, what holds it and so on, and what walks from the last to the first.
CHAINS = {
    **{name: ("iter([1])", wrap, "next(x)") for name, wrap in {
        "map next": "map(id, x)", "filter next": "filter(None, x)", "zip next": "zip(x)",
        "zip of two next": "zip([1, 2], x)", "enumerate next": "enumerate(x)",
        "chain next": "chain(x)", "chain.from_iterable next": "chain.from_iterable([x])",
        "islice next": "islice(x, 9)", "accumulate next": "accumulate(x)",
        "batched next": "batched(x, 1)", "pairwise next": "pairwise(x)", "groupby next": "groupby(x)",
        "tee next": "tee(map(id, x))[0]", "cycle next": "cycle(x)",
        "dropwhile next": "dropwhile(lambda v: False, x)",
        "takewhile next": "takewhile(lambda v: True, x)", "starmap next": "starmap(print, x)",
        "compress next": "compress(x, repeat(1))", "selectors next": "compress('ab', x)",
        "filterfalse next": "filterfalse(None, x)", "zip_longest next": "zip_longest(x)",
        "csv next": "csv.reader(x)", "callable next": "iter(x.__next__, 0)",
        "zip and map next": "zip(map(id, x))",
    }.items()},
    "anext": ("None", "anext(Anext(x), 0)", "x.send(None)"),
    "slice hash": ("1", "slice(x)", "hash(x)"),
    "mappingproxy hash": ("{}", "MappingProxyType(x)", "hash(x)"),
    "mappingproxy len": ("{}", "MappingProxyType(x)", "len(x)"),
    "mappingproxy bool": ("{}", "MappingProxyType(x)", "not x"),
    "mappingproxy item": ("{}", "MappingProxyType(x)", "x[1]"),
    "mappingproxy in": ("{}", "MappingProxyType(x)", "1 in x"),
    "mappingproxy iter": ("{}", "MappingProxyType(x)", "iter(x)"),
    "mappingproxy |": ("{}", "MappingProxyType(x)", "x | {}"),
    "mappingproxy ==": ("{}", "MappingProxyType(x)", "x == {}"),
    "mappingproxy str": ("{}", "MappingProxyType(x)", "str(x)"),
    "mappingproxy keys": ("{}", "MappingProxyType(x)", "x.keys()"),
    "alias hash": ("int", "GenericAlias(x, int)", "hash(x)"),
    "alias attribute": ("int", "GenericAlias(x, int)", "x.foo"),
    "alias call": ("int", "GenericAlias(x, int)", "x()"),
    "alias repr": ("int", "GenericAlias(x, int)", "repr(x)"),
    "method attribute": ("len", "MethodType(x, 1)", "x.foo"),
    "method call": ("len", "MethodType(x, 1)", "x()"),
    "method repr": ("len", "MethodType(x, 1)", "repr(x)"),
    "partial call": ("len", "partial_with_attribute(x)", "x()"),
    "partial repr": ("len", "partial_with_attribute(x)", "repr(x)"),
    "method and partial call": ("len", "MethodType(partial_with_attribute(x), 1)", "x()"),
    "lru_cache call": ("len", "lru_cache(None)(x)", "x()"),
    "staticmethod call": ("len", "staticmethod(x)", "x()"),
    "staticmethod abstract": ("len", "staticmethod(x)", "x.__isabstractmethod__"),
    "classmethod abstract": ("len", "classmethod(x)", "x.__isabstractmethod__"),
    "property abstract": ("len", "property(x)", "x.__isabstractmethod__"),
    "element copy": ("Element('a')", "parent(x)", "copy.deepcopy(x)"),
    "constants": ("1", "(x,)", "(lambda: 0).__code__.replace(co_consts=(x,))"),
    "union hash": ("int", "list[x] | None", "hash(x)"),
    "exception cause": ("ValueError()", "caused(x)", "''.join(traceback.format_exception(x)) and deep()"),
    "group": ("ValueError()", "ExceptionGroup('', [x])", "x.subgroup(KeyError) or deep()"),
}

# Chains that only come to their end, which has to succeed.
FREED = {
    "tuple": "(x,)", "list": "[x]", "dict": "{1: x}", "frozenset": "frozenset([MethodType(len, x)])",
    "deque": "deque([x])", "OrderedDict": "OrderedDict(a=x)", "defaultdict": "defaultdict(None, a=x)",
    "partial": "partial_with_attribute(partial(len, x))", "method": "MethodType(len, x)",
    "slice": "slice(x)", "cell": "(lambda: x)", "generator": "started(x)",
    "generator expression": "(v for v in x)", "coroutine": "started_coroutine(x)", "default": "(lambda a=x: a)", "doc": "documented(x)",
    "staticmethod": "staticmethod(x)", "classmethod": "classmethod(x)", "property": "property(x)",
    "itemgetter": "itemgetter(x)", "methodcaller": "methodcaller('a', x)",
    "lru_cache": "lru_cache(None)(partial(len, x))", "cmp_to_key": "cmp_to_key(x)",
    "namespace": "SimpleNamespace(a=x)", "mappingproxy": "MappingProxyType({1: x})",
    "alias": "GenericAlias(x, int)", "queue": "queued(x)", "ast": "ast.Expr(x)", "element": "parent(x)",
    "instance": "Instance(x)", "instance with slots": "Slots(x)", "instance with del": "Del(x)",
    "subclass of deque": "Deque([x])", "reversed": "reversed([x])", "iterator": "iter([x])",
    "map": "map(len, [x])", "zip": "zip([x])", "chain": "chain([x])", "repeat": "repeat(x)",
    "views": "{1: x}.items()", "local": "local(x)", "TypeVar": "TypeVar('T', bound=GenericAlias(x, int))",
    "context": "in_context(x)", "exception": "caused(x)", "weak callback": "watching(x)",
    "bound builtin": "[x].append", "wrapper": "slice(x).__eq__", "bytes": "attributed(x)",
    "class": "type('A', (), {'a': x})",
}

# What the chains are made of.
MADE_OF = """
import ast, asyncio, contextvars, copy, csv, io, queue, threading, traceback, weakref
from collections import OrderedDict, defaultdict, deque
from functools import cmp_to_key, lru_cache, partial
from itertools import *
from operator import itemgetter, methodcaller
from types import GenericAlias, MappingProxyType, MethodType, SimpleNamespace
from typing import TypeVar
from xml.etree.ElementTree import Element

class Anext:
    def __init__(self, x): self.x = x
    def __anext__(self): return self.x or asyncio.sleep(0)
class Instance:
    def __init__(self, x): self.x = x
class Slots:
    __slots__ = "x"
    def __init__(self, x): self.x = x
class Del(Instance):
    def __del__(self): self.y = 1
class Deque(deque): pass
class Bytes(io.BytesIO): pass

def partial_with_attribute(x):
    result = partial(x)
    result.a = 1
    return result
def parent(x):
    result = Element("a")
    result.append(x if isinstance(x, Element) else Element("b"))
    return result
def caused(x):
    result = ValueError()
    result.__cause__ = x if isinstance(x, ValueError) else None
    return result
def documented(x):
    def result(): pass
    result.__doc__ = x
    return result
def generator(x): yield
def started(x):
    result = generator(x)
    next(result)
    return result
async def coroutine(x): await asyncio.sleep(0)
def started_coroutine(x):
    result = coroutine(x)
    result.send(None)
    return result
def queued(x):
    result = queue.SimpleQueue()
    result.put(x)
    return result
def local(x):
    result = threading.local()
    result.x = x
    return result
def attributed(x):
    result = Bytes()
    result.x = x
    return result
variable = contextvars.ContextVar("variable")
def in_context(x):
    result = contextvars.Context()
    result.run(variable.set, x)
    return result
def watching(x):
    referent = Instance(x)
    return SimpleNamespace(a=referent, b=weakref.ref(referent, [].append))
def deep(): raise RecursionError
"""


def nest(wrap, depth=60_000):
    value = int
    for _ in range(depth):
        value = wrap(value)
    return value


def run(name, source, call, names):
    try:
        exec(source, names)
        eval(call, names)
    except ENDS as error:
        return type(error).__name__
    except BaseException as error:
        return f"UNEXPECTED {error!r}"
    return "UNEXPECTED end"


def chain(first, wrap):
    names = {}
    exec(MADE_OF, names)
    exec(f"x = {first}\nfor _ in range(60_000): x = {wrap}", names)
    return names


def check_chains(where, wanted):
    cases = [(name, *case) for name, case in CHAINS.items()]
    cases += [(name + " freed", "[]", wrap, "deep()") for name, wrap in FREED.items()]
    for name, first, wrap, walk in cases:
        if wanted and name not in wanted:
            continue
        names = chain(first, wrap)
        result = run(name, "", walk, names)
        names.clear()
        gc.collect()
        if result != "RecursionError":
            print(where, name, result)
        yield result == "RecursionError"


def check(where, wanted):
    """Whether each case ended as it must."""
    yield from check_chains(where, wanted)
    nested = {"lists": nest(lambda x: [x]), "lists2": nest(lambda x: [x]),
              "dicts": nest(lambda x: {"a": x}), "tuples": nest(lambda x: (x,))}
    imports = "import ast, json, marshal, pickle, symtable"
    cases = [(name, *case, {}) for name, case in ENDLESS.items()]
    cases += [(name, imports, call, dict(nested)) for name, call in DEEP.items()]
    for name, source, call, names in cases:
        if wanted and name not in wanted:
            continue
        path, hooks = list(sys.meta_path), list(sys.path_hooks)
        result = run(name, source, call, names)
        sys.meta_path[:], sys.path_hooks[:] = path, hooks
        if result.startswith("UNEXPECTED"):
            print(where, name, result)
        yield not result.startswith("UNEXPECTED")


def main():
    ended = list(check("main thread:", sys.argv[1:]))
    for size in (0, 32 << 10, 1 << 20):
        threading.stack_size(size)
        where = f"thread with {size} bytes:"
        thread = threading.Thread(target=lambda: ended.extend(check(where, sys.argv[1:])))
        thread.start()
        thread.join()
    bad = ended.count(False)
    print(len(ended) - bad, "passed,", bad, "failed")
    return 1 if bad or not ended else 0


if __name__ == "__main__":
    sys.exit(main())
