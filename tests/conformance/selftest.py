"""Tests of the scoreboard itself, on a small package `test`: python3 tests/conformance/selftest.py"""

import sys
import tempfile
import textwrap
import unittest
from pathlib import Path

import engine
from known import Known, judge

MODULE = """
import os, time, unittest

class Sample(unittest.TestCase):
    def test_a_passes(self): pass
    def test_b_fails(self): self.fail("as it should")
    def test_c_crashes(self): os._exit(7)
    def test_d_hangs(self): time.sleep(100)
    def test_e_skips(self): self.skipTest("no reason")
    def test_f_has_a_failing_subtest(self):
        for number in range(3):
            with self.subTest(number):
                self.assertNotEqual(number, 1)

class Broken(unittest.TestCase):
    @classmethod
    def setUpClass(cls): raise ValueError("no fixture")
    def test_is_never_run(self): pass
"""


def run_sample():
    """What became of each test of MODULE."""
    with tempfile.TemporaryDirectory() as folder:
        lib = Path(folder)
        (lib / "test/support").mkdir(parents=True)
        (lib / "test/__init__.py").touch()
        (lib / "test/support/__init__.py").touch()
        (lib / "test/test_sample.py").write_text(MODULE)
        return engine.run_module(engine.Native(sys.executable, lib), "test_sample", lib / "scratch")


class TestEngine(unittest.TestCase):
    def test_every_test_has_its_outcome_though_one_crashes_and_one_hangs(self):
        engine.STALL_SECONDS = 2
        outcomes = {test: record["outcome"] for test, record in run_sample().items()}
        expected = {
            "Sample.test_a_passes": "pass",
            "Sample.test_b_fails": "fail",
            "Sample.test_c_crashes": "crash",
            "Sample.test_d_hangs": "hang",
            "Sample.test_e_skips": "skip",
            "Sample.test_f_has_a_failing_subtest": "fail",
            "setUpClass (Broken)": "error",
        }
        self.assertEqual(outcomes, expected)


class TestJudge(unittest.TestCase):
    def judged(self, listed, **outcomes):
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
            file.write(textwrap.dedent(listed))
            file.flush()
            known = Known(Path(file.name))
        results = {test: {"outcome": what, "detail": "because"} for test, what in outcomes.items()}
        return judge(known, "m", results)

    def test_what_is_listed_and_fails_is_as_it_should_be(self):
        self.assertEqual(self.judged("m: t — a limit", t="fail", u="pass"), [])

    def test_an_unexpected_pass_is_a_failure(self):
        self.assertRegex(self.judged("m: t — a limit", t="pass")[0], "^unexpected pass")

    def test_an_unexpected_failure_is_one(self):
        self.assertRegex(self.judged("", t="crash")[0], "^crash")

    def test_a_listed_test_that_is_gone_is_a_failure(self):
        self.assertRegex(self.judged("m: t — a limit", u="pass")[0], "no such test")

    def test_only_skips_with_a_listed_reason_are_right(self):
        self.assertEqual(self.judged("skip: ^bec — fine", t="skip"), [])
        self.assertRegex(self.judged("skip: other — fine", t="skip")[0], "not listed")

    def test_a_line_without_a_reason_is_refused(self):
        with self.assertRaisesRegex(SystemExit, "expected"):
            self.judged("m: t")


def main():
    """Runs all tests; the closing line is the one that `cargo xtask test` adds up."""
    result = unittest.main(exit=False).result
    bad = len(result.failures) + len(result.errors)
    print(f"{result.testsRun - bad} passed, {bad} failed")
    return min(bad, 1)


if __name__ == "__main__":
    sys.exit(main())
