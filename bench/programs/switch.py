"""switch.py N: two threads hand over to each other while N others sleep. Microseconds per switch."""

import json
import os
import queue
import statistics
import sys
import threading
import time

from timing import measure

count = int(sys.argv[1])
for _ in range(count - 2):
    threading.Thread(target=time.sleep, args=(3600,), daemon=True).start()
there, back = queue.SimpleQueue(), queue.SimpleQueue()


def echo():
    while True:
        back.put(there.get())


threading.Thread(target=echo, daemon=True).start()


def trips(n):
    began = time.perf_counter()
    for _ in range(n):
        there.put(1)
        back.get()
    return time.perf_counter() - began


# A round trip is two switches. Longer than the others, since the three counts are compared.
seconds = statistics.median(measure(trips, 500) for _ in range(3)) / 2
print(json.dumps({f"switch_{count}_us": seconds * 1e6}), flush=True)
os._exit(0)
