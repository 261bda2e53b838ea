# Daemon threads in every state are left behind when the program ends.
import queue
import sys
import threading
import time

lock = threading.Lock()
lock.acquire()
condition = threading.Condition()
started = threading.Semaphore(0)


def on_condition():
    with condition:
        condition.wait()


def looping():
    n = 0
    while True:
        n += 1


def printing():
    while True:
        time.sleep(0.001)
        sys.stderr.write("")


bodies = [
    lock.acquire,
    on_condition,
    looping,
    printing,
    queue.Queue().get,
    queue.SimpleQueue().get,
    threading.Event().wait,
    threading.Barrier(2).wait,
    lambda: time.sleep(3600),
]


def body(inner):
    started.release()
    inner()
    print("this thread came to an end:", inner)


for inner in bodies:
    threading.Thread(target=body, args=(inner,), daemon=True).start()
for _ in bodies:
    started.acquire()
print("daemons:", sum(t.daemon for t in threading.enumerate()))
print("main ends")
