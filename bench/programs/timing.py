"""Shared by the programs: measures a function that does something n times."""

import statistics
import time

LEAST_SECONDS = 0.1
REPEATS = 3


def measure(run, first=1, pick=statistics.median):
    """Seconds for one of the n things that `run(n)` does.

    n grows until a run takes a tenth of a second, so that the same file measures a fast and a slow
    Python. `run` returns the seconds that count, and is called three times; the median is taken.
    `pick=min` is for what waits for nobody: there, all that differs is what else the machine does.
    """
    n = first
    while (seconds := run(n)) < LEAST_SECONDS:
        n = max(2 * n, min(int(n * 1.2 * LEAST_SECONDS / max(seconds, 1e-9)), 20 * n))
    return pick([seconds] + [run(n) for _ in range(REPEATS - 1)]) / n


def timed(body):
    """A `run` for `measure`: calls body() n times and takes the time."""

    def run(n):
        began = time.perf_counter()
        for _ in range(n):
            body()
        return time.perf_counter() - began

    return run


def percentile(times, part):
    return sorted(times)[int(part * (len(times) - 1))]
