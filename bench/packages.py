"""Packages from PyPI for native Python, in the user's cache: what vtwasm is compared with and what it
serves. Fetched once, by the pip of the Python that runs this."""

import functools
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

FOLDER = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vtwasm" / "bench"


class Unavailable(Exception):
    """A package cannot be had; the message says why."""


@functools.cache
def site(package):
    """A folder with the package and all that it requires."""
    program = os.environ["NATIVE_PYTHON"]
    say = "import sys; print(*sys.version_info[:2], sep='')"
    version = subprocess.check_output([program, "-c", say], text=True).strip()
    folder = FOLDER / f"{package}-{version}"
    if folder.is_dir():
        return folder
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=FOLDER) as room:
        platforms = [f"manylinux{name}_{platform.machine()}" for name in ("_2_28", "_2_17", "2014", "1")]
        line = [sys.executable, "-m", "pip", "install", "--quiet", "--no-compile", "--only-binary=:all:"]
        line += ["--python-version", version, *(f"--platform={name}" for name in (*platforms, "any"))]
        done = subprocess.run([*line, "--target", f"{room}/site", package], capture_output=True, text=True)
        if done.returncode:
            raise Unavailable(f"pip cannot fetch {package}: {done.stderr.strip()[-300:]}")
        try:
            shutil.move(f"{room}/site", folder)
        except OSError:
            if not folder.is_dir():  # another one was faster
                raise
    return folder
