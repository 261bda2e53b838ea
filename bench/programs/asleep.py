"""asleep.py N: N threads sleep at once. bench/run.py looks at the process while they do.

Prints one JSON line before the first thread, one when all sleep (seconds to start them, or how far
it got), and one after a sample of the sleepers was woken and each recursed until RecursionError.
"""

import json
import os
import sys
import threading
import time

SAMPLE = 50
LOOK_SECONDS = 0.5

count = int(sys.argv[1])
asleep = 0
depths = []
wake = threading.Semaphore(0)
reported = threading.Semaphore(0)


def deeper(depth):
    try:
        return deeper(depth + 1)
    except RecursionError:
        return depth


def sleeper():
    global asleep
    asleep += 1
    time.sleep(3600)


def sampled():
    global asleep
    asleep += 1
    wake.acquire()
    depths.append(deeper(0))
    reported.release()


def say(**what):
    print(json.dumps(what), flush=True)
    time.sleep(LOOK_SECONDS)


say(ready=True)
began = time.perf_counter()
started, why, samples = 0, "", 0
try:
    for number in range(count):
        pick = number % max(1, count // SAMPLE) == 0
        threading.Thread(target=sampled if pick else sleeper, daemon=True).start()
        started, samples = started + 1, samples + pick
except (RuntimeError, MemoryError) as error:
    why = str(error) or type(error).__name__
while asleep < started:
    time.sleep(0.001)
say(started=started, seconds=time.perf_counter() - began, why=why)
wake.release(samples)
for _ in range(samples):
    reported.acquire()
say(samples=samples, least_depth=min(depths), limit=sys.getrecursionlimit())
# The sleepers would sleep for an hour.
os._exit(0)
