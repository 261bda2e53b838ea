"""How late a sleeper wakes beside two CPU-bound threads; how four CPU-bound threads share."""

import json
import threading
import time

SECONDS = 2.0
NAP = 0.005

stop = False


def spin(counts, number):
    done = 0
    while not stop:
        done += 1
    counts[number] = done


def beside_spinners(count, body):
    """What `body()` returns, and how often each spinner went round meanwhile."""
    global stop
    stop = False
    counts = [0] * count
    threads = [threading.Thread(target=spin, args=(counts, i)) for i in range(count)]
    for thread in threads:
        thread.start()
    result = body()
    stop = True
    for thread in threads:
        thread.join()
    return result, counts


def naps():
    late = []
    end = time.perf_counter() + SECONDS
    while (began := time.perf_counter()) < end:
        time.sleep(NAP)
        late.append((time.perf_counter() - began - NAP) * 1e3)
    return sorted(late)


late, _ = beside_spinners(2, naps)
_, counts = beside_spinners(4, lambda: time.sleep(SECONDS))
print(
    json.dumps(
        {
            "late_p50_ms": late[len(late) // 2],
            "late_p99_ms": late[len(late) * 99 // 100],
            "late_max_ms": late[-1],
            "share_max_over_min": max(counts) / max(1, min(counts)),
        }
    )
)
