"""Runs one of CPython's test modules and writes down what became of every test.

    run.py LIB RECORDS MODULE [SELECTION]

LIB        the directory that holds CPython's package `test` (Lib of the source package)
RECORDS    a file to append to, one JSON object a line; the tests work in its directory
MODULE     for example test.test_queue
SELECTION  a JSON file: {"only": [ids]} or {"without": [ids]}

The same file runs inside vtwasm and on a native Python. Every record is on disk before the next
test begins, so that the driver knows which test a crash or a hang belongs to:

    {"start": id}                                     a test begins
    {"id": id, "outcome": ..., "seconds": ..., "detail": ...}   it is over
    {"end": true}                                     all of the module was run

Outcomes: pass, fail, error, skip (detail: the reason).
"""

import importlib.util
import json
import os
import sys
import tempfile
import time
import traceback
import unittest

import overrides

DETAIL_CHARACTERS = 4000


class Recorder(unittest.TestResult):
    """Writes the records; the worst of a test's subtests is the test's outcome."""

    def __init__(self, file):
        super().__init__()
        self.file = file
        self.worst = None
        self.began = 0.0

    def write(self, **record):
        self.file.write(json.dumps(record) + "\n")
        self.file.flush()

    def startTest(self, test):
        super().startTest(test)
        self.worst = None
        self.began = time.monotonic()
        self.write(start=test.id())

    def stopTest(self, test):
        super().stopTest(test)
        outcome, detail = self.worst or ("pass", "")
        self.finish(test.id(), outcome, detail)
        self.began = 0.0

    def finish(self, id, outcome, detail):
        seconds = round(time.monotonic() - self.began, 3)
        self.write(id=id, outcome=outcome, seconds=seconds, detail=detail)

    def note(self, test, outcome, detail):
        if not self.began:  # setUpClass, setUpModule or an import: no startTest came before
            self.began = time.monotonic()
            self.finish(test.id(), outcome, detail)
            self.began = 0.0
        elif self.worst is None or self.worst[0] in ("pass", "skip"):
            self.worst = outcome, detail

    def addError(self, test, err):
        self.note(test, "error", describe(err))

    def addFailure(self, test, err):
        self.note(test, "fail", describe(err))

    def addSkip(self, test, reason):
        self.note(test, "skip", reason)

    def addExpectedFailure(self, test, err):
        self.note(test, "pass", "failed as CPython expects it to")

    def addUnexpectedSuccess(self, test):
        self.note(test, "fail", "passed, though CPython expects it to fail")

    def addSubTest(self, test, subtest, err):
        if err is not None:
            failed = issubclass(err[0], test.failureException)
            self.note(test, "fail" if failed else "error", f"{subtest}\n{describe(err)}")


def describe(err):
    return "".join(traceback.format_exception(*err))[-DETAIL_CHARACTERS:]


def import_test_package(lib):
    """Imports `test` from LIB without putting all of LIB before the built-in library."""
    spec = importlib.util.spec_from_file_location(
        "test", f"{lib}/test/__init__.py", submodule_search_locations=[f"{lib}/test"]
    )
    sys.modules["test"] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)


def select(suite, wanted):
    """The suite in its own shape (fixtures hang on it), but only with the tests wanted."""
    kept = unittest.TestSuite()
    for item in suite:
        if isinstance(item, unittest.TestSuite):
            kept.addTest(select(item, wanted))
        elif wanted(item.id()):
            kept.addTest(item)
    return kept


def selection(path):
    with open(path) as file:
        choice = json.load(file)
    if "only" in choice:
        return set(choice["only"]).__contains__
    without = set(choice["without"])
    return lambda id: id not in without


def main():
    lib, records, name = sys.argv[1:4]
    wanted = selection(sys.argv[4]) if len(sys.argv) > 4 else lambda id: True
    # Tests write into the current directory and into that for temporary files.
    os.chdir(os.path.dirname(records))
    tempfile.tempdir = os.getcwd()
    import_test_package(lib)
    overrides.apply(name)
    with open(records, "a") as file:
        recorder = Recorder(file)
        try:
            suite = unittest.defaultTestLoader.loadTestsFromName(name)
        except unittest.SkipTest as why:
            recorder.write(id=name, outcome="skip", seconds=0, detail=str(why))
        else:
            select(suite, wanted).run(recorder)
        recorder.write(end=True)


# The process pools of test_concurrent_futures import the main module again.
if __name__ == "__main__":
    main()
