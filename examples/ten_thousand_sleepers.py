"""10,000 threads asleep at once. Under vtwasm they cost some 20 KiB and a few microseconds each."""

import sys
import threading
import time

count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
awake = threading.Event()
asleep = threading.Semaphore(0)


def sleeper() -> None:
    asleep.release()
    awake.wait()


began = time.monotonic()
threads = [threading.Thread(target=sleeper) for _ in range(count)]
for thread in threads:
    thread.start()
for _ in threads:
    asleep.acquire()
print(f"{threading.active_count() - 1:,} threads are asleep after {time.monotonic() - began:.2f} s")

began = time.monotonic()
awake.set()
for thread in threads:
    thread.join()
print(f"all awake and gone after {time.monotonic() - began:.2f} s more")
