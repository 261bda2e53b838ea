"""One round trip between two threads, by each way to hand over. Microseconds."""

import json
import queue
import threading
import time

from timing import measure


def round_trips(echo, trip):
    """A `run` for `measure`: n trips, with `echo` on another thread for each."""

    def run(n):
        def other():
            for _ in range(n):
                echo()

        thread = threading.Thread(target=other)
        thread.start()
        began = time.perf_counter()
        for _ in range(n):
            trip()
        seconds = time.perf_counter() - began
        thread.join()
        return seconds

    return run


def by_queue(kind):
    there, back = kind(), kind()

    def echo():
        back.put(there.get())

    def trip():
        there.put(1)
        back.get()

    return round_trips(echo, trip)


def by_lock(make):
    """Locks and semaphores: acquired to wait, released to wake."""
    there, back = make(), make()

    def echo():
        there.acquire()
        back.release()

    def trip():
        there.release()
        back.acquire()

    return round_trips(echo, trip)


def held_lock():
    lock = threading.Lock()
    lock.acquire()
    return lock


def by_event():
    there, back = threading.Event(), threading.Event()

    def echo():
        there.wait()
        there.clear()
        back.set()

    def trip():
        there.set()
        back.wait()
        back.clear()

    return round_trips(echo, trip)


def by_condition():
    condition = threading.Condition()
    turn = 0

    def pass_on(mine, other):
        nonlocal turn
        with condition:
            while turn != mine:
                condition.wait()
            turn = other
            condition.notify()

    def echo():
        pass_on(1, 0)

    def trip():
        nonlocal turn
        with condition:
            turn = 1
            condition.notify()
            while turn != 0:
                condition.wait()

    return round_trips(echo, trip)


WAYS = {
    "simplequeue_us": by_queue(queue.SimpleQueue),
    "queue_us": by_queue(queue.Queue),
    "lock_us": by_lock(held_lock),
    "semaphore_us": by_lock(lambda: threading.Semaphore(0)),
    "event_us": by_event(),
    "condition_us": by_condition(),
}
print(json.dumps({name: measure(way, 500) * 1e6 for name, way in WAYS.items()}))
