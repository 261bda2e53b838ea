"""Five philosophers, five forks. `vtwasm run dining_philosophers.py --greedy` deadlocks, and vtwasm
says so at once, with every thread's stack, where other Pythons hang."""

import sys
import threading
import time

NAMES = ["Plato", "Hypatia", "Kant", "Arendt", "Zhuangzi"]
forks = [threading.Lock() for _ in NAMES]
meals = dict.fromkeys(NAMES, 0)
seated = threading.Barrier(len(NAMES))


def dine(seat: int, greedy: bool) -> None:
    left, right = seat, (seat + 1) % len(NAMES)
    # The remedy: everybody takes the fork with the lower number first.
    first, second = (left, right) if greedy else sorted((left, right))
    for _ in range(3):
        if greedy:
            seated.wait()
        with forks[first]:
            time.sleep(0.002)  # thinks, with one fork in hand
            with forks[second]:
                meals[NAMES[seat]] += 1


greedy = "--greedy" in sys.argv
threads = [
    threading.Thread(target=dine, args=(seat, greedy), name=name) for seat, name in enumerate(NAMES)
]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print("meals:", meals)
