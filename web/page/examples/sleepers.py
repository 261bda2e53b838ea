import threading
import time

def sleep():
    time.sleep(2)

threads = [threading.Thread(target=sleep) for _ in range(10_000)]
for thread in threads:
    thread.start()
print(f"{len(threads):,} threads sleep")
for thread in threads:
    thread.join()
print("all awake")
