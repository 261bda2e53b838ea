"""The page of web/ in Chromium, beside the host in Rust and Pyodide."""

import json
import subprocess
from pathlib import Path

from measure import Failed

ROOT = Path(__file__).resolve().parent.parent
# It may have to be built first, and its tools fetched.
TIMEOUT_SECONDS = 900
MARK = "figures: "


def figures(engine):
    """What test/figures.ts of web/ measures, in its last line."""
    line = ["cargo", "xtask", "web", "--figures"]
    try:
        done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired:
        raise Failed(f"not over after {TIMEOUT_SECONDS} s") from None
    said = [one for one in done.stdout.splitlines() if one.startswith(MARK)]
    if done.returncode or not said:
        raise Failed(f"`{' '.join(line)}`: exit code {done.returncode}: {(done.stdout + done.stderr)[-500:]}")
    return json.loads(said[-1].removeprefix(MARK))
