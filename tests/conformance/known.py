"""Reads known_failures.txt, and judges a run by it.

Two kinds of lines; `#` begins a comment:

    module: test — reason          this test fails, crashes or hangs, for this reason
    skip: regular expression — why skips for a reason that matches are what they should be
"""

import re
from pathlib import Path

FAILED = ("fail", "error", "crash", "hang")


class Known:
    def __init__(self, path=Path(__file__).with_name("known_failures.txt")):
        self.failures = {}  # (module, test) -> reason
        self.skips = []
        for number, line in enumerate(path.read_text().splitlines(), 1):
            line = line.strip()
            if not line or line.startswith("#"):
                continue
            what, dash, reason = line.partition(" — ")
            kind, colon, test = what.partition(": ")
            if not (dash and colon and reason.strip()):
                raise SystemExit(f"{path}:{number}: expected `module: test — reason`: {line}")
            if kind == "skip":
                self.skips.append(re.compile(test))
            else:
                self.failures[kind, test] = reason

    def skip_is_known(self, reason):
        return any(pattern.search(reason) for pattern in self.skips)


def judge(known, module, results):
    """What is not as expected, as lines of text (no lines: the module is as it should be)."""
    lines = []
    for test, record in results.items():
        listed = known.failures.get((module, test))
        outcome, last = record["outcome"], last_line(record["detail"])
        if outcome in FAILED and listed is None:
            lines.append(f"{outcome}: {module}: {test} — {last}")
        elif outcome == "pass" and listed:
            lines.append(f"unexpected pass: {module}: {test} — listed as: {listed}")
        elif outcome == "skip" and listed:
            lines.append(f"listed, but skipped: {module}: {test} — {last}")
        elif outcome == "skip" and not known.skip_is_known(record["detail"]):
            lines.append(f"skipped for a reason not listed: {module}: {test} — {last}")
    for listed_module, test in known.failures:
        if listed_module == module and test not in results:
            lines.append(f"listed, but no such test: {module}: {test}")
    return lines


def last_line(text):
    """The line that says most: the last one with words in it that is no hint."""
    lines = [line.strip() for line in text.splitlines() if not line.startswith("hint:")]
    return ([line for line in lines if any(map(str.isalpha, line))] or [""])[-1][:200]
