"""Runs programs of `programs/` in vtwasm."""

import contextlib
import os
import subprocess
from pathlib import Path

import place

PROGRAMS = Path(__file__).parent / "programs"
SECONDS = 120


def command(name, *arguments):
    flags = ["--allow-net=localhost", "--listen=localhost", f"--allow-read={place.CA.parent}"]
    if place.UPGRADE:
        flags.append("--upgrade")
    return [str(place.VTWASM), "run", *flags, f"{name}.py", *map(str, arguments)]


def environment():
    # Where the machine has neither uv nor pip, there is a pip among the peers.
    return {**os.environ, "PATH": f"{os.environ['PATH']}:{place.PEERS / 'bin'}"}


def check(test, name, *arguments):
    """Runs a program to its end and compares what it prints with its `.stdout`."""
    done = subprocess.run(
        command(name, *arguments),
        cwd=PROGRAMS,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    test.assertEqual((done.returncode, done.stderr[-4000:]), (0, ""), done.stdout[-2000:])
    test.assertEqual(done.stdout, (PROGRAMS / f"{name}.stdout").read_text())


@contextlib.contextmanager
def running(name, *arguments):
    """A program that serves: it prints its port first and ends when its stdin does, or is interrupted."""
    process = subprocess.Popen(
        command(name, *arguments),
        cwd=PROGRAMS,
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield int(process.stdout.readline()), process
        process.stdin.close()
        if process.wait(SECONDS) != 0:
            raise AssertionError(f"{name} ended with {process.returncode}")
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
