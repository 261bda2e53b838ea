# Lock and RLock: mutual exclusion, time-outs, misuse.
import threading
import time

lock = threading.Lock()
print(lock.acquire(), lock.locked(), lock.acquire(blocking=False), lock.acquire(timeout=0.01))
lock.release()
print(lock.locked())
try:
    lock.release()
except RuntimeError as error:
    print("RuntimeError:", error)
for bad in (dict(blocking=False, timeout=1), dict(timeout=-2)):
    try:
        lock.acquire(**bad)
    except ValueError as error:
        print("ValueError:", error)
try:
    lock.acquire(timeout=threading.TIMEOUT_MAX * 2)
except OverflowError:
    print("OverflowError")

# A lock may be released by another thread than the one that took it.
lock.acquire()
threading.Thread(target=lock.release).start()
print("released by another:", lock.acquire())
lock.release()

# A time-out takes as long as it says.
lock.acquire()
began = time.monotonic()
print(lock.acquire(timeout=0.05), 0.05 <= time.monotonic() - began < 1)
lock.release()

# No increment is lost.
total = 0


def count():
    global total
    for _ in range(2000):
        with lock:
            before = total
            if before % 7 == 0:
                time.sleep(0)
            total = before + 1


threads = [threading.Thread(target=count) for _ in range(8)]
for t in threads:
    t.start()
for t in threads:
    t.join()
print("total:", total)

rlock = threading.RLock()
with rlock, rlock, rlock:
    result = []
    other = threading.Thread(target=lambda: result.append(rlock.acquire(blocking=False)))
    other.start()
    other.join()
    print("owned by main:", result)
other = threading.Thread(target=lambda: result.append(rlock.acquire()) or rlock.release())
other.start()
other.join()
print("free again:", result)
try:
    rlock.release()
except RuntimeError as error:
    print("RuntimeError:", error)
rlock.acquire()


def release_anothers():
    try:
        rlock.release()
    except RuntimeError as error:
        print("RuntimeError in a thread:", error)


other = threading.Thread(target=release_anothers)
other.start()
other.join()
