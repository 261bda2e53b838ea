"""What every threaded program calls without waiting: a free lock, the clock. Nanoseconds."""

import json
import threading
import time

from timing import measure


def free_lock(n):
    acquire, release = (lock := threading.Lock()).acquire, lock.release
    turns = range(n)
    began = time.perf_counter()
    for _ in turns:
        acquire()
        release()
    return time.perf_counter() - began


def monotonic(n):
    now = time.monotonic
    turns = range(n)
    began = time.perf_counter()
    for _ in turns:
        now()
    return time.perf_counter() - began


print(
    json.dumps(
        {
            "free_lock_ns": measure(free_lock, 10_000, min) * 1e9,
            "monotonic_ns": measure(monotonic, 10_000, min) * 1e9,
        }
    )
)
