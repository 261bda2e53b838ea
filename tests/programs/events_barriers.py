# Event and Barrier.
import threading
import time

event = threading.Event()
passed = []
threads = [threading.Thread(target=lambda: passed.append(event.wait())) for _ in range(20)]
for t in threads:
    t.start()
print(event.is_set(), event.wait(0.01), passed)
event.set()
for t in threads:
    t.join()
print(event.is_set(), event.wait(), passed == [True] * 20)
event.clear()
print(event.is_set())

rounds = []
barrier = threading.Barrier(4, action=lambda: rounds.append("all here"))
indices = []


def party():
    for _ in range(3):
        indices.append(barrier.wait())


threads = [threading.Thread(target=party) for _ in range(4)]
for t in threads:
    t.start()
for t in threads:
    t.join()
print(rounds, sorted(indices) == sorted([0, 1, 2, 3] * 3), barrier.parties, barrier.n_waiting)

broken = []


def disappointed():
    try:
        barrier.wait()
    except threading.BrokenBarrierError:
        broken.append("broken")


threads = [threading.Thread(target=disappointed) for _ in range(2)]
for t in threads:
    t.start()
while barrier.n_waiting < 2:
    time.sleep(0.001)
barrier.abort()
for t in threads:
    t.join()
print(broken, barrier.broken)
barrier.reset()
print(barrier.broken)
try:
    barrier.wait(timeout=0.01)
except threading.BrokenBarrierError:
    print("nobody came:", barrier.broken)
