"""Ordinary Python threads. Under vtwasm each is a virtual thread: cheap, and inside a sandbox."""

import queue
import threading
import time
from concurrent.futures import ThreadPoolExecutor

# Three threads that sleep at the same time: the whole takes as long as the longest sleep.
began = time.monotonic()


def greet(name: str, delay: float) -> None:
    time.sleep(delay)
    print(f"hello from {name}")


threads = [
    threading.Thread(target=greet, args=(name, delay))
    for name, delay in (("Ada", 0.3), ("Guido", 0.1), ("Grace", 0.2))
]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(f"three sleeps, 0.6 s in all, took {time.monotonic() - began:.1f} s")

# A queue hands work from one thread to another.
letters = queue.Queue()
received = []
reader = threading.Thread(target=lambda: received.extend(iter(letters.get, None)))
reader.start()
for letter in "threads":
    letters.put(letter)
letters.put(None)
reader.join()
print("through a queue:", "".join(received))

# A pool of 100 threads waits 100 times as fast as one.
began = time.monotonic()
with ThreadPoolExecutor(max_workers=100) as pool:
    squares = list(pool.map(lambda n: time.sleep(0.1) or n * n, range(100)))
print(f"100 slow squares add up to {sum(squares)}, in {time.monotonic() - began:.1f} s")
