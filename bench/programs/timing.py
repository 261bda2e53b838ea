"""Shared by the programs: measures a function that does something n times."""

import time

LEAST_SECONDS = 0.1
REPEATS = 3


def measure(run, first=1):
    """Seconds for one of the n things that `run(n)` does.

    n grows until a run takes a tenth of a second, so that the same file measures a fast and a slow
    Python. `run` returns the seconds that count. The least of three runs is taken: what else the
    machine does can only add to it.
    """
    n = first
    while (seconds := run(n)) < LEAST_SECONDS:
        n = max(2 * n, min(int(n * 1.2 * LEAST_SECONDS / max(seconds, 1e-9)), 20 * n))
    return min(seconds, *(run(n) for _ in range(REPEATS - 1))) / n


def timed(body):
    """A `run` for `measure`: calls body() n times and takes the time."""

    def run(n):
        began = time.perf_counter()
        for _ in range(n):
            body()
        return time.perf_counter() - began

    return run
