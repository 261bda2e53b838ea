# Condition: notify(n), notify_all, wait_for, time-outs.
import threading
import time

condition = threading.Condition()
waiting = 0
woken = []


def waiter(name):
    global waiting
    with condition:
        waiting += 1
        condition.notify_all()
        while name not in allowed:
            condition.wait()
        woken.append(name)
        condition.notify_all()


allowed = set()
threads = [threading.Thread(target=waiter, args=(n,)) for n in range(6)]
for t in threads:
    t.start()
with condition:
    condition.wait_for(lambda: waiting == 6)
    print("all wait:", waiting)
    for name in (3, 0, 5):
        allowed.add(name)
        condition.notify_all()
        condition.wait_for(lambda: name in woken)
    print("woken:", woken)
    allowed.update(range(6))
    condition.notify(3)
    condition.notify_all()
for t in threads:
    t.join()
print("all:", sorted(woken))

with condition:
    began = time.monotonic()
    print(condition.wait(timeout=0.03), time.monotonic() - began >= 0.03)
    print(condition.wait_for(lambda: False, timeout=0.01))
    print(condition.wait_for(lambda: 42))

for call in (condition.wait, condition.notify, condition.notify_all):
    try:
        call()
    except RuntimeError as error:
        print("RuntimeError:", error)

# notify(1) wakes exactly one, in the order in which they came.
order = []
entered = threading.Semaphore(0)


def one(name):
    with condition:
        entered.release()
        condition.wait()
        order.append(name)


threads = []
for n in range(4):
    threads.append(threading.Thread(target=one, args=(n,)))
    threads[-1].start()
    entered.acquire()
for n in range(4):
    with condition:
        condition.notify()
    threads[n].join()
print("order:", order)
