# What becomes of an exception that nobody catches in a thread.
import sys
import threading

caught = []


def hook(args):
    caught.append((args.exc_type.__name__, str(args.exc_value), args.thread.name))


def fail(message):
    raise ValueError(message)


threading.excepthook = hook
for n in range(3):
    t = threading.Thread(target=fail, args=(f"number {n}",), name=f"failing-{n}")
    t.start()
    t.join()
print(caught)
threading.excepthook = threading.__excepthook__

# The default hook prints a traceback; the program goes on and ends with 0.
t = threading.Thread(target=fail, args=("for stderr",), name="loud")
t.start()
t.join()

# An exception in one thread does not disturb another's.
seen = []


def nested(depth):
    try:
        if depth:
            nested(depth - 1)
        raise KeyError(depth)
    except KeyError:
        barrier.wait()
        seen.append((depth, sys.exception().args[0]))


barrier = threading.Barrier(4)
threads = [threading.Thread(target=nested, args=(5,)) for _ in range(4)]
for t in threads:
    t.start()
for t in threads:
    t.join()
print(all(a == b for a, b in seen), len(seen))
print("main goes on")
