# CPU-bound threads share the processor, and a sleeper beside them wakes in time.
import threading
import time

stop = False
counts = [0, 0, 0, 0]


def loop(n):
    while not stop:
        counts[n] += 1


threads = [threading.Thread(target=loop, args=(n,)) for n in range(4)]
for t in threads:
    t.start()
lateness = []
for _ in range(40):
    began = time.monotonic()
    time.sleep(0.02)
    lateness.append(time.monotonic() - began - 0.02)
stop = True
for t in threads:
    t.join()
lateness.sort()
print("all run:", all(counts))
print("none has less than a third of another's share:", min(counts) * 3 > max(counts))
print("the sleeper was never early:", lateness[0] >= 0)
print("the sleeper was on time:", lateness[len(lateness) // 2] < 0.05)
