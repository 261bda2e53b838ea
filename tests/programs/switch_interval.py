# sys.setswitchinterval is honoured: the interval is how long a CPU-bound thread goes on.
import sys
import threading
import time

print(sys.getswitchinterval())


def switches_in(seconds, interval):
    """Counts how often two CPU-bound threads take turns."""
    sys.setswitchinterval(interval)
    last, turns, stop = None, 0, False

    def loop(me):
        nonlocal last, turns
        while not stop:
            if last != me:
                last = me
                turns += 1

    threads = [threading.Thread(target=loop, args=(n,)) for n in range(2)]
    for t in threads:
        t.start()
    time.sleep(seconds)
    stop = True
    for t in threads:
        t.join()
    return turns


often = switches_in(0.5, 0.001)
seldom = switches_in(0.5, 0.1)
print("shorter intervals switch more often:", often > 4 * seldom)
print("set:", sys.getswitchinterval())
for bad in (0, -1):
    try:
        sys.setswitchinterval(bad)
    except ValueError as error:
        print("ValueError:", error)
