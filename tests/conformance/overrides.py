"""Switches of CPython's `test.support` that speak of WASI and not of what works here.

This is the one place where the scoreboard differs from `python -m test`. It is applied before any
test module is imported, because decorators read the switches at import.

- `threading_helper.can_start_thread` is False wherever sys.platform is "wasi". Here threads start.
- `support.is_wasi` skips tests for what wasi-libc lacked when they were written (a deep C stack,
  /dev/null, process_time). They are run: what fails stands in known_failures.txt with its reason.
- `support.has_socket_support` is False for WASI as well, and pipes go with it.
- `support.get_c_recursion_limit` needs the extension `_testcapi`, which is not built. The tests
  use it to recurse far too deep, or to a fraction of the limit.
- `termios` is not there, and a module of asyncio's tests imports `tty` at its top for one test of a
  terminal. It gets an empty module; there are no terminals to open here, so that test is skipped.
- `support.real_max_memuse` is raised for the modules whose "big memory" tests are in truth tests of
  many threads, counted with the memory that threads take elsewhere (natively too: same tests).
- `script_helper.assert_python_ok` and its kin run a vtwasm of their own: children.py.

Not touched, because it is true: no fork, no subprocess.
"""

import sys
import types

import children

# What `python -m test -u` enables: tests that take CPU or wall time, and the network, of which the
# sandbox has loopback only; no display
# and no files of gigabytes.
RESOURCES = ["cpu", "walltime", "network"]

# Their bigmemtest decorators speak of 50 to 100 MiB for each thread.
MEMORY_IS_THREADS = {"test.test_threading", "test.test_queue", "test.test_threadedtempfile"}

# Py_C_RECURSION_LIMIT of CPython 3.13 on WASI.
C_RECURSION_LIMIT = 5000


def apply(module):
    """Sets the switches for one test module; `test` can be imported, and nothing of it was."""
    from test import support

    support.verbose = 0
    support.use_resources = RESOURCES
    if module in MEMORY_IS_THREADS:
        support.real_max_memuse = 8 << 30
    if sys.platform != "wasi":
        return

    support.is_wasi = False
    support.has_socket_support = True
    support.get_c_recursion_limit = lambda: C_RECURSION_LIMIT

    from test.support import threading_helper

    threading_helper.can_start_thread = True
    if module == "test.test_asyncio.test_events":
        sys.modules["tty"] = types.ModuleType("tty")
    children.install()
