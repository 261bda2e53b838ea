# Recursion without end is a RecursionError, in Python and in C, on main and on threads.
import copy
import json
import pickle
import re
import sys
import threading


def nest(make, depth=200_000):
    value = []
    for _ in range(depth):
        value = make(value)
    return value


def python():
    def down():
        return down() + 1

    down()


class Loop:
    def __getattr__(self, name):
        return getattr(self, name + "x")

    def __eq__(self, other):
        return other == self

    def __repr__(self):
        return repr(self)

    def __call__(self):
        return self()

    def __hash__(self):
        return hash((self,))


deep_list = nest(lambda inner: [inner])
deep_list2 = nest(lambda inner: [inner])
deep_dict = nest(lambda inner: {"k": inner})
deep_tuple = nest(lambda inner: (inner,))

CASES = {
    "Python": python,
    "repr of a list": lambda: repr(deep_list),
    "repr of a dict": lambda: repr(deep_dict),
    "== of lists": lambda: deep_list == deep_list2,
    "json.dumps": lambda: json.dumps(deep_list),
    "json.loads": lambda: json.loads("[" * 200_000),
    "pickle.dumps": lambda: pickle.dumps(deep_list),
    "copy.deepcopy": lambda: copy.deepcopy(deep_list),
    "re.compile": lambda: re.compile("(" * 100_000 + ")" * 100_000),
    "__eq__": lambda: Loop() == Loop(),
    "__repr__": lambda: repr(Loop()),
    "__hash__": lambda: hash(Loop()),
    "__getattr__": lambda: Loop().a,
    "__call__": lambda: Loop()(),
    "isinstance": lambda: isinstance(1, deep_tuple),
}


def check(where):
    for name, case in CASES.items():
        try:
            case()
            print(where, name, "came back")
        except RecursionError:
            print(where, name, "RecursionError")


check("main:")
for _ in range(2):
    t = threading.Thread(target=check, args=("thread:",))
    t.start()
    t.join()


# The depth that Python promises is there on every thread.
def depth(n):
    return n and depth(n - 1)


def promised():
    depth(sys.getrecursionlimit() - 50)
    print("the promised depth is there")


t = threading.Thread(target=promised)
t.start()
t.join()
