# Source nested too deep is refused by the compiler, never by a crash.
import ast
import threading

SOURCES = {
    "parentheses": "(" * 500 + ")" * 500,
    "minus signs": "-" * 100_000 + "1",
    "attributes": "a" + ".b" * 100_000,
    "sums": "+".join(["1"] * 100_000),
    "calls": "f" + "()" * 100_000,
}


def check(where):
    for name, source in SOURCES.items():
        for action in (lambda s: compile(s, "<deep>", "eval"), ast.parse):
            try:
                action(source)
            except (RecursionError, MemoryError, SyntaxError):
                print(where, name, "refused")


check("main:")
t = threading.Thread(target=check, args=("thread:",))
t.start()
t.join()
