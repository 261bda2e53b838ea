# ThreadPoolExecutor: results, exceptions, waiting, cancelling, the way it ends.
import concurrent.futures as cf
import threading
import time

def hold():
    busy.wait()
    return gate.wait()


with cf.ThreadPoolExecutor(max_workers=4) as pool:
    print(list(pool.map(lambda x: x * x, range(10))))
    print(sorted(f.result() for f in cf.as_completed([pool.submit(pow, 2, n) for n in range(8)])))

    failing = pool.submit(lambda: 1 / 0)
    try:
        failing.result()
    except ZeroDivisionError as error:
        print("ZeroDivisionError:", error, "|", type(failing.exception()).__name__)

    gate = threading.Event()
    busy = threading.Barrier(5)
    blocked = [pool.submit(hold) for _ in range(4)]
    busy.wait()
    waiting = pool.submit(print, "never printed")
    print("cancelled:", waiting.cancel(), waiting.cancelled(), blocked[0].cancel())
    try:
        blocked[0].result(timeout=0.01)
    except TimeoutError:
        print("TimeoutError")
    done, not_done = cf.wait(blocked, timeout=0.01)
    print(len(done), len(not_done))
    gate.set()
    done, not_done = cf.wait(blocked)
    print(len(done), len(not_done))

    futures = [pool.submit(time.sleep, 0.2), pool.submit(lambda: [][0])]
    done, not_done = cf.wait(futures, return_when=cf.FIRST_EXCEPTION)
    print("first exception:", [type(f.exception()).__name__ for f in done], len(not_done))

    called = []
    future = pool.submit(lambda: "value")
    future.add_done_callback(lambda f: called.append(f.result()))
    cf.wait([future])
while not called:
    pass
print(called)

try:
    pool.submit(print)
except RuntimeError as error:
    print("RuntimeError:", error)

names = set()
local = threading.local()


def prepare(value):
    local.value = value


with cf.ThreadPoolExecutor(2, thread_name_prefix="pool", initializer=prepare, initargs=(5,)) as pool:
    barrier = threading.Barrier(2)

    def task():
        barrier.wait()
        names.add(threading.current_thread().name)
        return local.value

    print([f.result() for f in [pool.submit(task) for _ in range(2)]], sorted(names))

pool = cf.ThreadPoolExecutor(1)
gate = threading.Event()
busy = threading.Barrier(2)
running = pool.submit(hold)
busy.wait()
pending = [pool.submit(int) for _ in range(5)]
threading.Timer(0.02, gate.set).start()
pool.shutdown(cancel_futures=True)
print(running.result(), [f.cancelled() for f in pending])

with cf.ThreadPoolExecutor(100) as pool:
    print(sum(pool.map(lambda n: time.sleep(0.001) or n, range(2000))))
