#!/usr/bin/env python3
"""Measures vtwasm against native Python of the same version, side by side, in one run.

    VTWASM=target/release/vtwasm NATIVE_PYTHON=…/python3.13 bench/run.py [names]

Every benchmark is a program of its own in programs/, the same file for each Python. In each round
each Python runs it once, one after the other, so that a busy minute of the machine hits them all;
the table shows the medians of the rounds. Python 3.11 or newer; its pip fetches gevent and flask once.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import time
from pathlib import Path

import report
from jobs import JOBS
from measure import ENGINES, SANDBOXES, Failed
from packages import Unavailable

HERE = Path(__file__).resolve().parent


def arguments():
    names = sorted({job.name for job in JOBS})
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="name", help=f"of {', '.join(names)}; default: all")
    parser.add_argument("--quick", action="store_true", help="one round, less of the slow ones")
    parser.add_argument("--strict", action="store_true", help="exit code 1 when a figure is not reached")
    parser.add_argument("--publish", action="store_true", help="keep as results/latest.json and RESULTS.md")
    options = parser.parse_args()
    if unknown := set(options.names) - set(names):
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    for name in ("VTWASM", "NATIVE_PYTHON"):
        if not os.access(os.environ.get(name, ""), os.X_OK):
            parser.error(f"{name} must name a program (`cargo xtask bench` sets it)")
    return options


def measure_all(options):
    """{engine: {metric: [a value for each round]}}"""
    jobs = [job for job in JOBS if not options.names or job.name in options.names]
    if options.quick:
        jobs = [job for job in jobs if job.quick]
    values = {engine: {} for engine in (*ENGINES, *SANDBOXES)}
    for number in range(max(job.rounds for job in jobs)):
        for job in jobs:
            if number >= (1 if options.quick else job.rounds):
                continue
            for engine in job.engines:
                progress(f"round {number + 1}: {job.name} on {engine}")
                try:
                    measured = job.run(engine)
                except (Failed, Unavailable) as failure:
                    progress(f"{job.name} on {engine}: {failure}\n")
                    continue
                for metric, value in measured.items():
                    values[engine].setdefault(metric, []).append(value)
    progress("")
    return values


def progress(text):
    if sys.stderr.isatty() or text.endswith("\n"):
        end = "" if not text.endswith("\n") else ""
        print(f"\r\x1b[K{text}" if sys.stderr.isatty() else text, end=end, file=sys.stderr, flush=True)


def main():
    options = arguments()
    began = time.time()
    load = os.getloadavg()[0]
    if load > 0.5:
        progress(f"warning: others are busy here (load {load:.1f}); the figures will tell little\n")
    values = measure_all(options)
    run = {
        "when": time.strftime("%Y-%m-%d %H:%M", time.gmtime(began)),
        "seconds": round(time.time() - began),
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "load": load,
        "medians": {
            engine: {metric: statistics.median(column) for metric, column in metrics.items()}
            for engine, metrics in values.items()
        },
        "rounds": values,
    }
    text, missed = report.render(run)
    print(text)
    results = HERE / "results"
    results.mkdir(exist_ok=True)
    raw = json.dumps(run, indent=1, sort_keys=True) + "\n"
    (results / time.strftime("%Y%m%dT%H%M%S.json", time.gmtime(began))).write_text(raw)
    if options.publish:
        (results / "latest.json").write_text(raw)
        (HERE / "RESULTS.md").write_text(text)
    return 1 if missed and options.strict else 0


if __name__ == "__main__":
    sys.exit(main())
