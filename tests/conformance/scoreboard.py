#!/usr/bin/env python3
"""The scoreboard: CPython's own tests, run inside vtwasm. See README.md beside this file.

    scoreboard.py --vtwasm BINARY --lib DIR [--python DIR] [--native PYTHON] [--json FILE] [module …]

Exit code 0: every test did what known_failures.txt says, no better and no worse.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from engine import HERE, Native, Vtwasm, run_module
from known import FAILED, Known, judge, last_line


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("modules", nargs="*", help="of modules.txt; all when none is given")
    parser.add_argument("--vtwasm", metavar="BINARY", help="the vtwasm to test")
    parser.add_argument("--lib", metavar="DIR", required=True, help="CPython's Lib, which holds test/")
    parser.add_argument("--python", metavar="DIR", help="the Python artifact (default: vtwasm's own choice)")
    parser.add_argument("--native", metavar="PYTHON", help="compare with this native Python")
    parser.add_argument("--json", metavar="FILE", help="write all results there")
    parser.add_argument("--jobs", type=int, default=2, help="modules at once (default 2)")
    parser.add_argument("--flag", action="append", default=[], help="a further flag for `vtwasm run`")
    parser.add_argument("--keep", metavar="DIR", help="work there, and keep records and output")
    options = parser.parse_args()
    if not options.vtwasm and not options.native:
        parser.error("nothing to run: give --vtwasm, --native or both")
    return options


def modules_to_run(names):
    """{module: whether it is strict}, in the order of modules.txt."""
    table = {}
    for line in (HERE / "modules.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            name, *marks = line.split()
            table[name] = "strict" in marks
    unknown = set(names) - set(table)
    if unknown:
        raise SystemExit(f"not in modules.txt: {', '.join(sorted(unknown))}")
    return {name: strict for name, strict in table.items() if not names or name in names}


def run_and_retry(engine, module, scratch, known):
    """A test that fails and is not listed is run once more, alone: the machine may have been busy.
    What passes then counts as passed, and is reported."""
    began = time.monotonic()
    results = run_module(engine, module, scratch / engine.name)
    doubtful = [
        test
        for test, record in results.items()
        if record["outcome"] in FAILED and (module, test) not in known.failures
    ]
    again = {}
    if doubtful:
        ids = [f"test.{module}.{test}" for test in doubtful]
        again = run_module(engine, module, scratch / f"{engine.name}-again", ids)
    for test in doubtful:
        if again.get(test, {}).get("outcome") == "pass":
            results[test] = {**again[test], "first": results[test]}
    return results, time.monotonic() - began


def count(results):
    outcomes = [record["outcome"] for record in results.values()]
    failed = sum(outcome in FAILED for outcome in outcomes)
    return outcomes.count("pass"), failed, outcomes.count("skip")


def total(table):
    return [sum(column) for column in zip(*map(count, table.values()))]


def run_all(options, known, scratch):
    """{engine: {module: results}}, printing each module as it ends."""
    lib = Path(options.lib).resolve()
    engines = []
    if options.vtwasm:
        engines.append(Vtwasm(Path(options.vtwasm).resolve(), lib, options.flag))
    if options.native:
        engines.append(Native(options.native, lib))
    table = {engine.name: {} for engine in engines}
    modules = modules_to_run(options.modules)

    def one(engine, module):
        results, seconds = run_and_retry(engine, module, scratch, known)
        table[engine.name][module] = results
        passed, failed, skipped = count(results)
        print(
            f"{engine.name:7} {module:42} {passed:5} passed {failed:4} failed {skipped:4} skipped"
            f" {seconds:7.1f} s",
            flush=True,
        )

    with ThreadPoolExecutor(options.jobs) as pool:
        jobs = [pool.submit(one, engine, module) for module in modules for engine in engines]
        for job in jobs:
            job.result()
    return table


def print_comparison(table):
    """What passes natively and not here, grouped by why."""
    native, ours = table["native"], table["vtwasm"]
    strict = modules_to_run([])
    reasons = {}
    print("\nmodule                                     vtwasm / native passed")
    for module in ours:
        missing = [
            test
            for test, record in native[module].items()
            if record["outcome"] == "pass" and ours[module].get(test, {}).get("outcome") != "pass"
        ]
        print(f"{module:42} {count(ours[module])[0]:5} / {count(native[module])[0]:5}")
        for test in missing:
            record = ours[module].get(test, {"outcome": "absent", "detail": ""})
            reason = record["outcome"]
            if reason == "skip":
                reason = f"skip: {last_line(record['detail'])}"
            mark = "strict" if strict[module] else "others"
            reasons.setdefault((mark, reason), []).append(f"{module}: {test}")
    print("\n{:42} {:5} / {:5}".format("all", total(ours)[0], total(native)[0]))
    for (mark, reason), tests in sorted(reasons.items(), key=lambda item: (item[0][0], -len(item[1]))):
        print(f"\npasses natively, not here ({mark} modules): {reason}: {len(tests)}")
        for test in tests:
            print(f"    {test}")


def report(ours, known):
    """Prints what is not as it should be; returns how many lines that was."""
    wrong = [line for module, results in ours.items() for line in judge(known, module, results)]
    for module, results in ours.items():
        for test, record in results.items():
            if "first" in record:
                print(f"passed only when run again: {module}: {test} — {last_line(record['first']['detail'])}")
    for line in wrong:
        print(line)
    passed, failed, skipped = total(ours)
    unexpected = sum(line.startswith(FAILED) for line in wrong)
    print(f"\n{failed - unexpected} known failures (each with its reason in known_failures.txt)")
    print(f"{passed} passed, {len(wrong)} failed, {skipped} skipped")
    return len(wrong)


def main():
    options = arguments()
    if options.python:
        os.environ["VTWASM_PYTHON"] = str(Path(options.python).resolve())
    known = Known()
    # Short: natively, sockets of multiprocessing lie below, and their paths end at 108 characters.
    scratch = Path(options.keep or tempfile.mkdtemp(prefix="vtw-")).resolve()
    try:
        table = run_all(options, known, scratch)
    finally:
        if not options.keep:
            shutil.rmtree(scratch, ignore_errors=True)
    if options.json:
        Path(options.json).write_text(json.dumps(table, indent=1, sort_keys=True))
    if "vtwasm" not in table:
        print("{} passed, {} failed, {} skipped natively".format(*total(table["native"])))
        return 0
    if "native" in table:
        print_comparison(table)
    return 1 if report(table["vtwasm"], known) else 0


if __name__ == "__main__":
    sys.exit(main())
