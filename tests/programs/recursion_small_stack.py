# native: no (a small stack overflows with a crash there)
# On the smallest stack that threading accepts, deep recursion is a RecursionError all the same.
import json
import threading

SIZES = (32 * 1024, 64 * 1024, 256 * 1024, 1024 * 1024, 16 * 1024 * 1024)
deep = []
for _ in range(200_000):
    deep = [deep]


def python():
    return python() + 1


def via_c(n):
    return max([n], key=via_c)


CASES = {
    "Python": python,
    "Python through C": lambda: via_c(1),
    "repr": lambda: repr(deep),
    "json": lambda: json.dumps(deep),
    "compile": lambda: compile("-" * 5000 + "1", "<deep>", "eval"),
}


def check(size):
    for name, case in CASES.items():
        try:
            case()
            print(size, name, "came back")
        except (RecursionError, MemoryError):
            print(size, name, "refused")


for size in SIZES:
    try:
        threading.stack_size(size)
    except ValueError as error:
        print(size, "ValueError:", error)
        continue
    t = threading.Thread(target=check, args=(size,))
    t.start()
    t.join()
print("alive")
