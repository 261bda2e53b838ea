# Garbage, weak references and finalisers when many threads make and drop objects.
import gc
import threading
import weakref

finalised = 0
lock = threading.Lock()


class Node:
    def __init__(self):
        self.me = self


def count():
    global finalised
    with lock:
        finalised += 1


def churn():
    for _ in range(200):
        node = Node()
        weakref.finalize(node, count)


threads = [threading.Thread(target=churn) for _ in range(10)]
for t in threads:
    t.start()
for t in threads:
    t.join()
gc.collect()
print("finalised:", finalised)


class Generator:
    """A generator begun on one thread may go on, and be closed, on another."""

    def steps(self):
        try:
            while True:
                yield threading.current_thread().name
        finally:
            closed.append(threading.current_thread().name)


closed = []
steps = Generator().steps()
names = [next(steps)]
t = threading.Thread(target=lambda: names.append(next(steps)) or steps.close(), name="other")
t.start()
t.join()
print(names, closed)
