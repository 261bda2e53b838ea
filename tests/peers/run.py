"""Libraries from PyPI inside vtwasm, against real servers. `cargo xtask test peers` calls this.

A test's name is its file, class and method; those that contain FILTER are run.
"""

import argparse
import signal
import sys
import unittest
from pathlib import Path

import place

FOLDER = Path(__file__).parent


def tests_of(suite):
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from tests_of(test)
        else:
            yield test


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vtwasm", type=Path, required=True, help="the program")
    parser.add_argument("--peers", type=Path, required=True, help="the folder with the servers")
    parser.add_argument("--upgrade", action="store_true", help="resolve the packages anew")
    parser.add_argument("filter", nargs="?", default="", metavar="FILTER")
    options = parser.parse_args()
    # Whoever ends the tests wants their folder gone as well.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    unittest.TestCase.maxDiff = None
    with place.prepared(options.vtwasm.resolve(), options.peers.resolve(), options.upgrade):
        found = tests_of(unittest.defaultTestLoader.discover(FOLDER, top_level_dir=FOLDER))
        suite = unittest.TestSuite(test for test in found if options.filter in test.id())
        result = unittest.TextTestRunner(stream=sys.stdout, verbosity=2).run(suite)
    failed = len({test.id() for test, _ in result.failures + result.errors})
    print(f"{result.testsRun - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
