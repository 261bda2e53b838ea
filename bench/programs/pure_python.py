"""The programs of the package pyperformance that are pure Python, of the standard library alone, and compute.
Milliseconds each; of several things that one measures, the geometric mean."""

import argparse
import gc
import importlib.util
import json
import platform
import runpy
import statistics
import sys
import time
import types
from pathlib import Path

from timing import measure, timed

# What a table shows as well (report.py).
NAMES = """async_generators barnes_hut chaos comprehensions coroutines deepcopy deltablue fannkuch float
    generators go hexiom logging meteor_contest nbody nqueens pprint pyflate raytrace richards scimark spectral_norm
    typing_runtime_protocols unpack_sequence""".split()


class Runner:
    """In the place of pyperf's, which starts processes."""

    def __init__(self, **_options):
        self.metadata = {}
        self.argparser = argparse.ArgumentParser()

    def parse_args(self):
        return self.argparser.parse_args([])

    def bench_time_func(self, _name, run, *arguments, inner_loops=1):
        seconds.append(measure(lambda n: run(n, *arguments), pick=min) / inner_loops)

    def bench_func(self, _name, body, *arguments):
        seconds.append(measure(timed(lambda: body(*arguments)), pick=min))

    def bench_async_func(self, _name, body):
        import asyncio

        self.bench_func(_name, lambda: asyncio.run(body()))


pyperf = sys.modules["pyperf"] = types.ModuleType("pyperf")
pyperf.Runner = Runner
pyperf.perf_counter = time.perf_counter
pyperf.python_implementation = lambda: platform.python_implementation().lower()

# Without the package's own __init__: it wants what no sandbox has.
(package,) = importlib.util.find_spec("pyperformance").submodule_search_locations
figures = {}
for name in NAMES:
    script = Path(package, "data-files", "benchmarks", f"bm_{name}", "run_benchmark.py")
    seconds = []
    gc.collect()
    sys.argv = [str(script)]
    runpy.run_path(str(script), run_name="__main__")
    figures[f"pyperformance_{name}_ms"] = statistics.geometric_mean(seconds) * 1e3
print(json.dumps(figures))
