# Threads that import the same modules at once get the same, whole modules.
import importlib
import sys
import threading

NAMES = ["json", "decimal", "email.message", "xml.etree.ElementTree", "unittest", "argparse"]
barrier = threading.Barrier(16)
seen = {name: set() for name in NAMES}
errors = []


def load(n):
    barrier.wait()
    try:
        for name in NAMES[n % len(NAMES) :] + NAMES[: n % len(NAMES)]:
            seen[name].add(id(importlib.import_module(name)))
    except BaseException as error:
        errors.append(error)


threads = [threading.Thread(target=load, args=(n,)) for n in range(16)]
for t in threads:
    t.start()
for t in threads:
    t.join()
print(errors, all(len(ids) == 1 for ids in seen.values()), all(n in sys.modules for n in NAMES))
