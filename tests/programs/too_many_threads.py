# vtwasm: --max-threads 1000
# native: no (it has no such limit)
# Of 200,000 starts when 1,000 threads are allowed, 1,000 succeed and the others raise.
import threading

go = threading.Event()
running, refused = [], set()
for n in range(200_000):
    t = threading.Thread(target=go.wait)
    try:
        t.start()
        running.append(t)
    except RuntimeError as error:
        refused.add(str(error))
        count = n + 1 - len(running)
print(len(running), count, refused)
print("alive:", threading.active_count())
go.set()
for t in running:
    t.join()
print("left:", threading.active_count())
for t in (threading.Thread(target=int) for _ in range(2000)):
    t.start()
    t.join()
print("threads start again")
