"""Jobs with two processes: one on the engine that is measured, the other on native Python."""

import json
import os
import subprocess
from contextlib import contextmanager

import packages
from measure import LOOPBACK, PROGRAMS, command, look, memory, read, run_to_end

PIPES = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
PAGES, FETCHERS, PAGE_SECONDS = 10_000, 1_000, 0.1
FLASK_CLIENTS = 32


@contextmanager
def started(line):
    with subprocess.Popen([str(part) for part in line], **PIPES) as process:
        try:
            yield process
        finally:
            process.kill()
            process.communicate()


def native(name, *arguments):
    return [os.environ["NATIVE_PYTHON"], PROGRAMS / name, *arguments]


def echo(count, way="threads"):
    """A job with a server of the engine's and so many connections of a native client."""
    prefix = f"echo_{count}" if way == "threads" else f"{way}_{count}"

    def run(engine):
        server = [*command(engine, *LOOPBACK), PROGRAMS / "echo_server.py", way]
        with started(server) as process:
            before, said = look(process)
            with started(native("echo_client.py", said["port"], count)) as client:
                read(client)
                after = memory(process)
                client.stdin.write("go\n")
                client.stdin.flush()
                figures = read(client)
        figures["kib"] = (after - before) / count
        return {f"{prefix}_{metric}": value for metric, value in figures.items()}

    return run


def wake(engine):
    """How long a parked thread takes to answer."""
    with started([*command(engine, *LOOPBACK), PROGRAMS / "echo_server.py", "threads"]) as process:
        port = read(process)["port"]
        return json.loads(run_to_end(native("wake_client.py", port)))


def pages(engine):
    """A client with a thread for each of its connections to a slow server."""
    with started(native("page_server.py", PAGE_SECONDS)) as server:
        port = read(server)["port"]
        client = [*command(engine, *LOOPBACK), PROGRAMS / "fetch.py", port, PAGES, FETCHERS]
        return json.loads(run_to_end(client))


def flask(engine):
    """Requests that a flask app answers with a thread for each."""
    server = [*command(engine, *LOOPBACK, site=packages.site("flask")), PROGRAMS / "flask_server.py"]
    with started(server) as process:
        port = read(process)["port"]
        return json.loads(run_to_end(native("request_client.py", port, FLASK_CLIENTS)))
