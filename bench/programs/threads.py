"""Start and join a thread; start 1,000, then join them. Microseconds each."""

import json
import threading

from timing import measure, timed


def nothing():
    pass


def start_join():
    thread = threading.Thread(target=nothing)
    thread.start()
    thread.join()


def thousand():
    threads = [threading.Thread(target=nothing) for _ in range(1000)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


print(
    json.dumps(
        {
            "start_join_us": measure(timed(start_join), 100) * 1e6,
            "start_1000_join_us": measure(timed(thousand)) * 1e6 / 1000,
        }
    )
)
