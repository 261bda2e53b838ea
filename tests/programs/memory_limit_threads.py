# vtwasm: --memory 64MiB
# native: no (it has no such limit)
# When memory is short, a thread that cannot start is a RuntimeError, and the others live on.
import threading

go = threading.Event()
threads = []
try:
    while True:
        t = threading.Thread(target=go.wait)
        t.start()
        threads.append(t)
except (RuntimeError, MemoryError) as error:
    print("refused:", type(error).__name__ in ("RuntimeError", "MemoryError"))
print("many ran:", len(threads) > 50)
go.set()
for t in threads:
    t.join()
threads.clear()
t = threading.Thread(target=print, args=("a thread starts again",))
t.start()
t.join()
