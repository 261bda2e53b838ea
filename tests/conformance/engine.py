"""Runs run.py for one test module, again and again until each of its tests has an outcome."""

import json
import os
import subprocess
import time
from pathlib import Path

import children

HERE = Path(__file__).resolve().parent

# A test that writes no record for so long hangs.
STALL_SECONDS = 240
# How often a module is begun again after a crash or a hang.
ATTEMPTS = 12


class Vtwasm:
    name = "vtwasm"

    def __init__(self, binary, lib, flags=()):
        self.binary, self.lib, self.flags = binary, lib, flags

    def command(self, scratch, arguments):
        return [*self.interpreter(scratch), HERE / "run.py", *arguments]

    def interpreter(self, scratch, flags=()):
        """A vtwasm that may read the tests, write into `scratch` and talk to itself."""
        return [
            self.binary,
            "run",
            f"--allow-read={HERE}",
            f"--allow-read={self.lib}",
            f"--allow-write={scratch}",
            "--allow-net=localhost",
            "--listen=*",
            *self.flags,
            *flags,
        ]

    def serve(self, scratch):
        children.serve(scratch, self.lib, lambda flags: self.interpreter(scratch, flags))


class Native:
    name = "native"

    def __init__(self, binary, lib):
        self.binary, self.lib = binary, lib

    def command(self, scratch, arguments):
        return [self.binary, HERE / "run.py", *arguments]

    def serve(self, scratch):
        """Natively tests start their processes themselves."""


def run_module(engine, module, scratch, only=None):
    """All tests of the module (or only those): {id: {outcome, seconds, detail}}.

    A crash or a hang is charged to the test that was running; the module then begins again
    without the tests that have an outcome.
    """
    results = {}
    for attempt in range(ATTEMPTS):
        folder = scratch / f"{module}.{attempt}"
        folder.mkdir(parents=True)
        ended, current, why = run_once(engine, module, folder, results, only)
        if ended and not why:
            break
        if ended:  # every test was run, and then the process did not end well
            results[f"test.{module}.(exit)"] = {"outcome": "crash", "seconds": 0, "detail": why}
            break
        kind = "hang" if why.startswith("no progress") else "crash"
        lost = current or f"test.{module}.(import)"
        results[lost] = {"outcome": kind, "seconds": 0, "detail": why}
        if current is None:
            break
    prefix = f"test.{module}."
    return {id.replace(prefix, ""): record for id, record in results.items()}


def run_once(engine, module, folder, results, only):
    """Adds to `results`; returns whether all was run, the test it ended in, and what was wrong."""
    records, output = folder / "records.jsonl", folder / "output.txt"
    choice = {"without": list(results)}
    if only is not None:
        choice = {"only": [id for id in only if id not in results]}
    (folder / "selection.json").write_text(json.dumps(choice))
    records.touch()
    work = folder / "work"
    work.mkdir()
    arguments = [engine.lib, records, f"test.{module}", folder / "selection.json"]
    with open(output, "wb") as log:
        process = subprocess.Popen(
            [str(part) for part in engine.command(folder, arguments)],
            cwd=work,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        )
        why = wait(process, records, lambda: engine.serve(folder))
    ended, current = False, None
    for line in records.read_text().splitlines():
        record = json.loads(line)
        if "start" in record:
            current = record["start"]
        elif "id" in record:
            keep_worst(results, record.pop("id"), record)
            current = None
        else:
            ended = True
    if why or not ended:
        why = f"{why or 'it ended early'}\n{output.read_text(errors='replace')[-3000:]}"
    return ended, current, why


def keep_worst(results, id, record):
    """Doctests and fixtures may share an id."""
    before = results.get(id)
    if before is None or before["outcome"] in ("pass", "skip"):
        results[id] = record


def wait(process, records, meanwhile):
    """Waits for the end; what was wrong with it, or an empty string."""
    size, changed = -1, time.monotonic()
    while True:
        try:
            code = process.wait(timeout=0.05)
            return f"exit code {code}" if code else ""
        except subprocess.TimeoutExpired:
            meanwhile()
            now = records.stat().st_size
            if now != size:
                size, changed = now, time.monotonic()
            elif time.monotonic() - changed > STALL_SECONDS:
                process.kill()
                process.wait()
                return f"no progress for {STALL_SECONDS} s"
