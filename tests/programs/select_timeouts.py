"""Time-outs of select, poll and epoll: never early, and soon after; other threads go on."""

import os
import select
import threading
import time

r, w = os.pipe()
poll = select.poll()
poll.register(r, select.POLLIN)
epoll = select.epoll()
epoll.register(r, select.EPOLLIN)


def how_long(wait):
    began = time.monotonic()
    assert not any(wait()), "nothing was ready"
    return time.monotonic() - began


for name, wait in [
    ("select", lambda: select.select([r], [], [], 0.1)),
    ("nothing", lambda: select.select([], [], [], 0.1)),
    ("poll", lambda: poll.poll(100)),
    ("epoll", lambda: epoll.poll(0.1)),
]:
    print(name, 0.1 <= how_long(wait) < 0.2)

# Zero asks, and does not wait.
print(max(how_long(lambda: select.select([r], [], [], 0)), how_long(lambda: epoll.poll(0))) < 0.05)

# A hundred at once take as long as one.
began = time.monotonic()
threads = [threading.Thread(target=select.select, args=([r], [], [], 0.2)) for _ in range(100)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(0.2 <= time.monotonic() - began < 0.6)

# What comes ends all of the waits.
results = []
threads = [
    threading.Thread(target=lambda: results.append(bool(select.select([r], [], [])[0]))),
    threading.Thread(target=lambda: results.append(bool(poll.poll()))),
    threading.Thread(target=lambda: results.append(bool(epoll.poll()))),
]
for thread in threads:
    thread.start()
time.sleep(0.05)
print(results)
os.write(w, b"x")
for thread in threads:
    thread.join()
print(results)
