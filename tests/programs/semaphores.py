# Semaphore and BoundedSemaphore.
import threading
import time

slots = threading.BoundedSemaphore(3)
inside = 0
most = 0
guard = threading.Lock()


def visit():
    global inside, most
    with slots:
        with guard:
            inside += 1
            most = max(most, inside)
        time.sleep(0.002)
        with guard:
            inside -= 1


threads = [threading.Thread(target=visit) for _ in range(30)]
for t in threads:
    t.start()
for t in threads:
    t.join()
print("at most three, and three:", most)
try:
    slots.release()
except ValueError as error:
    print("ValueError:", error)

semaphore = threading.Semaphore(0)
print(semaphore.acquire(blocking=False), semaphore.acquire(timeout=0.01))
got = []
threads = [threading.Thread(target=lambda: got.append(semaphore.acquire())) for _ in range(5)]
for t in threads:
    t.start()
semaphore.release(5)
for t in threads:
    t.join()
print(got)
for bad in (lambda: threading.Semaphore(-1), lambda: semaphore.release(0)):
    try:
        bad()
    except ValueError as error:
        print("ValueError:", error)
