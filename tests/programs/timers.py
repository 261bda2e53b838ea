# Timer: fires, is cancelled, keeps the order of its delays.
import threading
import time

fired = []
began = time.monotonic()
timers = [
    threading.Timer(delay, lambda d=delay: fired.append((d, time.monotonic() - began)))
    for delay in (0.15, 0.05, 0.10)
]
cancelled = threading.Timer(0.12, fired.append, ["never"])
for t in (*timers, cancelled):
    t.start()
cancelled.cancel()
for t in (*timers, cancelled):
    t.join()
print([delay for delay, _ in fired])
print("none early:", all(at >= delay for delay, at in fired))
print("none very late:", all(at < delay + 1 for delay, at in fired))
