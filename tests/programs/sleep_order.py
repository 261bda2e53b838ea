# Sleepers wake in the order of their deadlines, whatever order they began in.
import threading
import time

woken = []


def sleeper(ms):
    time.sleep(began + ms / 1000 - time.monotonic())
    woken.append(ms)


delays = [(n * 37) % 50 * 10 + 100 for n in range(50)]
began = time.monotonic()
threads = [threading.Thread(target=sleeper, args=(ms,)) for ms in delays]
for t in threads:
    t.start()
for t in threads:
    t.join()
print(woken == sorted(delays), len(woken))

# 500 sleeps of 50 ms at once take 50 ms, not 25 s.
began = time.monotonic()
threads = [threading.Thread(target=time.sleep, args=(0.05,)) for _ in range(500)]
for t in threads:
    t.start()
for t in threads:
    t.join()
print(0.05 <= time.monotonic() - began < 5)
try:
    time.sleep(-1)
except ValueError as error:
    print("ValueError:", error)
