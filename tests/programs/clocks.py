# The clocks: none goes back, each measures what it should.
import threading
import time

for name in ("monotonic", "perf_counter", "time", "process_time"):
    clock = getattr(time, name)
    times = [clock() for _ in range(1000)]
    print(name, times == sorted(times), time.get_clock_info(name).monotonic)

wall, cpu = time.monotonic(), time.process_time()
time.sleep(0.1)
print("asleep:", time.monotonic() - wall >= 0.1, time.process_time() - cpu < 0.09)

cpu = time.process_time()
while time.process_time() - cpu < 0.05:
    pass
print("busy: process_time goes on")
print("the year is plausible:", 2024 <= time.gmtime().tm_year < 2100)

# Across threads, monotonic never goes back.
last, wrong, lock = 0.0, 0, threading.Lock()


def read():
    global last, wrong
    for _ in range(500):
        with lock:
            now = time.monotonic()
            wrong += now < last
            last = now


threads = [threading.Thread(target=read) for _ in range(10)]
for t in threads:
    t.start()
for t in threads:
    t.join()
print("steps back:", wrong)
