"""Switches of CPython's `test.support` that speak of WASI and not of what works here.

This is the one place where the scoreboard differs from `python -m test`. It is applied before any
test module is imported, because decorators read the switches at import.

- `threading_helper.can_start_thread` is False wherever sys.platform is "wasi". Here threads start.
- `support.is_wasi` skips tests for what wasi-libc lacked when they were written (a deep C stack,
  /dev/null, process_time). They are run: what fails stands in known_failures.txt with its reason.
- `support.get_c_recursion_limit` needs the extension `_testcapi`, which is not built. The tests
  use it to recurse far too deep, or to a fraction of the limit.

Not touched, because it is true: no fork, no subprocess, no sockets yet.
"""

import sys

# What `python -m test -u` enables: tests that take CPU or wall time, but no network, no display
# and no files of gigabytes.
RESOURCES = ["cpu", "walltime"]

# Py_C_RECURSION_LIMIT of CPython 3.13 on WASI.
C_RECURSION_LIMIT = 5000


def apply():
    from test import support

    support.verbose = 0
    support.use_resources = RESOURCES
    if sys.platform != "wasi":
        return

    support.is_wasi = False
    support.get_c_recursion_limit = lambda: C_RECURSION_LIMIT

    from test.support import threading_helper

    threading_helper.can_start_thread = True
