"""`vtwasm serve` against its own OpenAPI document: schemathesis sends what the document allows, and what it does not."""

import contextlib
import os
import re
import shutil
import subprocess
import sys
import unittest
from pathlib import Path

import place
import tools

REPOSITORY = Path(__file__).resolve().parents[2]
# So many requests for each operation in a phase, always the same: what is found is found again.
EXAMPLES = 30
SECONDS = 300


@contextlib.contextmanager
def service(folder):
    """The address and the first tenant's token."""
    command = [place.VTWASM, "serve", "--listen=127.0.0.1:0", f"--database={folder}/jobs.db"]
    with open(f"{folder}/talk", "w+") as talk:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=talk, text=True)
        try:
            token = process.stdout.readline().strip().partition("=")[2]
            talk.seek(0)
            yield re.search(r"http://\S+", talk.read())[0], token
            if process.poll() is not None:
                raise AssertionError(f"the service ended with {process.returncode}")
        finally:
            process.kill()
            process.wait()
            process.stdout.close()


class Schema(unittest.TestCase):
    def test_the_service_answers_everything_as_its_document_says(self):
        tool = tools.installed("schemathesis", place.program("pip3"))
        folder = place.folder("schema")
        with service(folder) as (address, token):
            done = subprocess.run(
                [
                    *(sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()", "run"),
                    REPOSITORY / "host/server/openapi.json",
                    *("--url", address, "--header", f"Authorization: Bearer {token}"),
                    *("--seed=1", f"--max-examples={EXAMPLES}", "--generation-deterministic"),
                    *("--request-timeout=60", "--no-color", "--warnings=off"),
                    # It would find out its own token's id, and remove it.
                    *("--exclude-path", "/v1/tenants/{id}/tokens/{token}"),
                    # No document says all that is refused: which host names, which names of variables.
                    "--exclude-checks=positive_data_acceptance",
                ],
                cwd=folder,
                env={**os.environ, "PYTHONPATH": str(tool)},
                capture_output=True,
                text=True,
                timeout=SECONDS,
            )
        self.assertEqual(done.returncode, 0, done.stdout[-8000:] + done.stderr[-2000:])
        tried = re.search(r"(\d+) generated", done.stdout)
        self.assertGreater(int(tried[1]), 500, done.stdout[-2000:])
        shutil.rmtree(folder)
