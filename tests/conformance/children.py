"""Child interpreters for tests that run a piece of Python in "another process".

A sandbox starts no processes, so CPython would skip these tests; but what most of them try is how
an interpreter ends with threads still running, which must work here. Inside, a test's request goes
to a file; outside, the driver runs it as a vtwasm of its own, and writes the answer beside it.
Only `test.support.script_helper` is served (assert_python_ok and its kin): subprocess and
multiprocessing stay what they are, absent.
"""

import json
import os
import subprocess
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
# Some children print megabytes of tracebacks (test_print_exception_gh_102056), on a busy machine.
TIMEOUT_SECONDS = 120
# Where children see CPython's Lib, with nothing in it but `test`.
GUEST_LIB = "/cpython"
# Exit codes of vtwasm itself: a crash, a deadlock, a limit, a failure of the host.
HOST_CODES = range(122, 126)
# What Python runs first in such a child.
SITE = "import sys; sys.path.append({here!r}); import overrides; overrides.apply(None)"


def install():
    """Inside: makes script_helper ask the driver. Requests go to the directory of now."""
    from unittest import SkipTest

    from test.support import script_helper

    folder, numbers = os.getcwd(), iter(range(1_000_000))

    def run_python_until_end(*args, **env):
        # Isolated (-I) would also mean: without PYTHONPATH, which is where children find `test`.
        isolated = env.pop("__isolated", not env)
        env.pop("__cleanenv", None)
        if env.keys() & {"__cwd", "__run_using_command"}:
            raise SkipTest("requires subprocess support: a child with a directory of its own")
        command = [*(["-P", "-s"] if isolated else []), *args]
        answer = ask(f"{folder}/{next(numbers)}", {"command": command, "env": env})
        out, err = (text.encode("utf-8", "surrogateescape") for text in answer["output"])
        if answer["code"] in HOST_CODES:
            raise AssertionError(f"the child ended with {answer['code']}: {err.decode()}")
        return script_helper._PythonRunResult(answer["code"], out, err), command

    script_helper.run_python_until_end = run_python_until_end
    # Below @requires_subprocess, which has already decided.
    script_helper._assert_python = script_helper._assert_python.__wrapped__


def ask(name, request):
    with open(f"{name}.draft", "w") as file:
        json.dump(request, file)
    os.rename(f"{name}.draft", f"{name}.request")
    while not os.path.exists(f"{name}.answer"):
        time.sleep(0.02)
    with open(f"{name}.answer") as file:
        return json.load(file)


def serve(folder, lib, command):
    """Outside: runs what is asked for in `folder`. `command(flags)` is a vtwasm with flags; `lib`
    holds the package `test`, which many children import."""
    for asked in folder.glob("*.request"):
        request = json.loads(asked.read_text())
        asked.unlink()
        env = {"PYTHONPATH": GUEST_LIB, **request["env"]}
        flags = [f"--env={name}={value}" for name, value in env.items()]
        # Python looks for `test` by listing the folder above it: an empty one, covered by the real.
        path = folder / ("lib-of-tests" if imports_tests(request["command"]) else "lib")
        (path / "test").mkdir(parents=True, exist_ok=True)
        if imports_tests(request["command"]):
            (path / "sitecustomize.py").write_text(SITE.format(here=str(HERE)))
        flags.append(f"--allow-read={path}::{GUEST_LIB}")
        flags.append(f"--allow-read={lib}/test::{GUEST_LIB}/test")
        line = [str(part) for part in [*command(flags), *request["command"]]]
        try:
            done = subprocess.run(
                line,
                capture_output=True,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                timeout=TIMEOUT_SECONDS,
            )
            code, output = done.returncode, (done.stdout, done.stderr)
        except subprocess.TimeoutExpired as late:
            code, output = HOST_CODES[0], (late.stdout or b"", b"not over in time")
        answer = {
            "code": code,
            "output": [text.decode("utf-8", "surrogateescape") for text in output],
        }
        draft = asked.with_suffix(".unfinished")
        draft.write_text(json.dumps(answer))
        draft.rename(asked.with_suffix(".answer"))


def imports_tests(command):
    """A test module, imported in a child, looks at the switches of `test.support` as well."""
    return any("test.test_" in argument for argument in command)
