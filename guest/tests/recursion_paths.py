"""Ways to recurse through CPython's C code without end, on the main thread and on another.

Each must end in an exception; a trap ends the whole run. The limits in include/vtwasm_force.h were
measured with these: build with VTWASM_C_RECURSION_LIMIT as a variable, and halve the interval
between a limit that traps and one that does not; the native stack divided by that limit is what the
path takes per unit.

    vtwasm run recursion_paths.py [NAME...]

`cargo xtask test recursion_paths` runs all of them.
"""
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


def check(where, wanted):
    """Whether each case ended as it must."""
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
