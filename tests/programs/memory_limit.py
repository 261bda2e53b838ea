# vtwasm: --memory 64MiB
# native: no (it has no such limit)
# Under --memory, many small pieces end in MemoryError; after it there is memory again.
import threading


def fill():
    pieces = []
    try:
        while True:
            pieces.append(bytes(50_000))
    except MemoryError:
        count = len(pieces)
        pieces.clear()
        return count


first = fill()
print("the limit was felt:", 100 < first < 64 * 2**20 // 50_000)
print("and again:", fill() > first // 2)
results = []
t = threading.Thread(target=lambda: results.append(fill() > first // 2))
t.start()
t.join()
print("in a thread:", results)

try:
    b"x" * (2**31 - 100)
except MemoryError:
    print("one large piece: MemoryError")

tree = []
try:
    while True:
        tree = [tree, {}]
except MemoryError:
    tree = None
print("small objects: MemoryError")
print("goes on:", sum(range(1000)))
