# 10000 threads alive at once; then 10000 one after the other.
import threading

N = 10000
started = threading.Semaphore(0)
go = threading.Event()
total = 0
lock = threading.Lock()


def body(n):
    global total
    started.release()
    go.wait()
    with lock:
        total += n


threads = [threading.Thread(target=body, args=(n,)) for n in range(N)]
for t in threads:
    t.start()
for _ in threads:
    started.acquire()
print("alive:", threading.active_count() - 1)
go.set()
for t in threads:
    t.join()
print("sum:", total, total == N * (N - 1) // 2)
for n in range(N):
    t = threading.Thread(target=int)
    t.start()
    t.join()
print("left:", threading.active_count())
