"""The whole process: ten threads, each prints a line."""

import threading

threads = [threading.Thread(target=print, args=(f"hello from {i}",)) for i in range(10)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
