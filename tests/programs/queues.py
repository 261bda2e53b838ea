# The four queues: order, limits, time-outs, task_done/join, shutdown.
import queue
import threading

for kind in (queue.Queue, queue.LifoQueue, queue.PriorityQueue, queue.SimpleQueue):
    q = kind()
    for item in (2, 3, 1):
        q.put(item)
    print(kind.__name__, [q.get() for _ in range(3)], q.empty(), q.qsize())
    try:
        q.get(timeout=0.01)
    except queue.Empty:
        print("  get on an empty one times out")

q = queue.Queue(maxsize=2)
q.put(1)
q.put(2)
for call in (lambda: q.put(3, timeout=0.01), lambda: q.put_nowait(3)):
    try:
        call()
    except queue.Full:
        print("put on a full one:", q.full())

results = []
work = queue.Queue(maxsize=4)


def worker():
    while (item := work.get()) is not None:
        results.append(item * item)
        work.task_done()
    work.task_done()


threads = [threading.Thread(target=worker) for _ in range(5)]
for t in threads:
    t.start()
for n in range(200):
    work.put(n)
for _ in threads:
    work.put(None)
work.join()
for t in threads:
    t.join()
print("squares:", len(results), sum(results), work.unfinished_tasks)

try:
    work.task_done()
except ValueError as error:
    print("ValueError:", error)

# A bounded queue between two threads hands over every item, in order.
pipe = queue.Queue(maxsize=1)
got = []
reader = threading.Thread(target=lambda: got.extend(iter(pipe.get, None)))
reader.start()
for n in range(1000):
    pipe.put(n)
pipe.put(None)
reader.join()
print("in order:", got == list(range(1000)))

# shutdown() wakes those who wait.
closing = queue.Queue()
ended = []


def waiter():
    try:
        closing.get()
    except queue.ShutDown:
        ended.append("ShutDown")


threads = [threading.Thread(target=waiter) for _ in range(3)]
for t in threads:
    t.start()
closing.shutdown()
for t in threads:
    t.join()
print(ended)
