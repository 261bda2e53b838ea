# threading.local: each thread its own, gone with its thread.
import gc
import threading
import weakref

data = threading.local()
data.value = "main"
seen = []


class Thing:
    pass


def body(n):
    seen.append(hasattr(data, "value"))
    data.value = n
    data.thing = Thing()
    things.append(weakref.ref(data.thing))
    barrier.wait()
    assert data.value == n


things = []
barrier = threading.Barrier(10)
threads = [threading.Thread(target=body, args=(n,)) for n in range(10)]
for t in threads:
    t.start()
for t in threads:
    t.join()
del t, threads
gc.collect()
print(data.value, any(seen), len(seen))
print("left behind:", sum(ref() is not None for ref in things))


class Counted(threading.local):
    made = []

    def __init__(self, start):
        self.count = start
        self.made.append(start)


counted = Counted(7)
results = []


def use():
    for _ in range(3):
        counted.count += 1
    results.append(counted.count)


threads = [threading.Thread(target=use) for _ in range(3)]
for t in threads:
    t.start()
for t in threads:
    t.join()
print(results, counted.count, Counted.made)
