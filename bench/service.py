#!/usr/bin/env python3
"""Measures `vtwasm serve`: jobs a second, and the time from a submission to its first line.

    bench/service.py --vtwasm target/release/vtwasm [--peers FOLDER] [--jobs N] [--workers 1 2] [--load N]

On SQLite, and on PostgreSQL if `--peers` names the servers that `cargo xtask test peers` uses (their folder in
~/.cache/vtwasm/peers), with one and two worker processes. The time to the first line is taken one job after the
other while others come at `--load` a second. All of it, this program too, shares the machine.
"""

import argparse
import contextlib
import http.client
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests/peers"))
CONNECTIONS = 4
LATENCIES = 300


class Service:
    def __init__(self, vtwasm, database, role="all"):
        command = [vtwasm, "serve", "--listen=127.0.0.1:0", f"--database={database}", f"--role={role}"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        line = self.process.stderr.readline()
        if not (found := re.search(r"http://(\S+)", line)):
            raise SystemExit(f"it does not start: {line}{self.process.stderr.read()}")
        self.address = found[1]
        self.token = ""
        if role != "worker":
            self.token = self.process.stdout.readline().strip().partition("=")[2]
        threading.Thread(target=self.process.stderr.read, daemon=True).start()

    def connection(self):
        return http.client.HTTPConnection(self.address)

    def ask(self, connection, method, path, body=None, **headers):
        headers |= {"authorization": f"Bearer {self.token}", "content-type": "application/json"}
        connection.request(method, path, json.dumps(body) if body else None, headers)
        response = connection.getresponse()
        if response.status >= 300:
            raise SystemExit(f"{method} {path}: {response.status} {response.read()}")
        return response

    def unfinished(self, connection):
        text = self.ask(connection, "GET", "/metrics").read().decode()
        return sum(int(n) for n in re.findall(r"^vtwasm_jobs_(?:waiting|running) (\d+)$", text, re.M))

    def stop(self):
        self.process.terminate()
        self.process.wait(60)


def throughput(service, source, count):
    """Jobs a second, submissions included, and submissions a second alone."""

    def submit():
        connection = service.connection()
        for _ in range(count // CONNECTIONS):
            service.ask(connection, "POST", "/v1/jobs", {"source": source}).read()

    threads = [threading.Thread(target=submit) for _ in range(CONNECTIONS)]
    begun = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    submitted = time.perf_counter() - begun
    connection = service.connection()
    while service.unfinished(connection):
        time.sleep(0.01)
    return count / (time.perf_counter() - begun), count / submitted


def latencies(service):
    """Milliseconds from a submission to its first line, one job after the other."""
    connection = service.connection()
    taken = []
    for _ in range(LATENCIES):
        begun = time.perf_counter()
        body = {"source": "print('first')\nimport time\ntime.sleep(0.02)"}
        job = json.load(service.ask(connection, "POST", "/v1/jobs", body))
        events = service.ask(service.connection(), "GET", f"/v1/jobs/{job['id']}/logs", accept="text/event-stream")
        for line in events:
            if b"first" in line:
                taken.append((time.perf_counter() - begun) * 1000)
                break
        events.read()
    return taken


@contextlib.contextmanager
def load(service, rate):
    """So many empty jobs a second, evenly."""
    over = threading.Event()

    def submit():
        connection = service.connection()
        due = time.perf_counter()
        while not over.is_set():
            service.ask(connection, "POST", "/v1/jobs", {"source": "pass"}).read()
            due += CONNECTIONS / rate
            time.sleep(max(0, due - time.perf_counter()))

    threads = [threading.Thread(target=submit) for _ in range(CONNECTIONS if rate else 0)]
    for thread in threads:
        thread.start()
        time.sleep(1 / max(rate, 1))
    yield
    over.set()
    for thread in threads:
        thread.join()


def measure(vtwasm, database, workers, jobs, rate):
    """Jobs a second that do nothing, that sleep, submissions a second; and milliseconds to the first line, p50 and p99."""
    service = Service(vtwasm, database)
    others = [Service(vtwasm, database, "worker") for _ in range(workers - 1)]
    throughput(service, "pass", 100)
    nothing, submitted = throughput(service, "pass", jobs)
    sleeping, _ = throughput(service, "import time; time.sleep(0.01)", jobs)
    with load(service, rate):
        taken = latencies(service)
    quantiles = statistics.quantiles(taken, n=100)
    for process in [service, *others]:
        process.stop()
    return nothing, sleeping, submitted, quantiles[49], quantiles[98]


def figures(_engine):
    """For `cargo xtask bench`: one worker on each database, at half the load that it is to bear."""
    vtwasm, peers = Path(os.environ["VTWASM"]), os.environ.get("VTWASM_PEERS")
    measured = {}

    def add(name, database, rate):
        nothing, _, _, p50, p99 = measure(vtwasm, database, 1, 2000, rate)
        measured.update({f"service_{name}_job_us": 1e6 / nothing})
        measured.update({f"service_{name}_line_p50_ms": p50, f"service_{name}_line_p99_ms": p99})

    with tempfile.TemporaryDirectory() as folder:
        add("sqlite", f"{folder}/jobs.db", 150)
    if peers:
        with postgresql(vtwasm, Path(peers), fsync="on") as database:
            add("postgresql", database, 250)
    return measured


@contextlib.contextmanager
def postgresql(vtwasm, peers, **settings):
    import place
    import servers

    with place.prepared(vtwasm, peers, False), servers.postgresql(**settings) as port:
        password = servers.PASSWORD.replace(" ", "%20")
        yield f"postgres://postgres:{password}@127.0.0.1:{port}/postgres?sslmode=disable"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vtwasm", type=Path, required=True)
    parser.add_argument("--peers", type=Path)
    parser.add_argument("--jobs", type=int, default=2000)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--load", type=int, default=250)
    options = parser.parse_args()
    print("| | no-op jobs/s | jobs/s that sleep 10 ms | submissions/s | to the first line, p50 | p99 |\n|---|---|---|---|---|---|")

    def row(name, database, workers):
        nothing, sleeping, submitted, p50, p99 = measure(
            options.vtwasm, database, workers, options.jobs, options.load
        )
        print(
            f"| {name}, workers: {workers} | {nothing:.0f} | {sleeping:.0f} | {submitted:.0f} "
            f"| {p50:.1f} ms | {p99:.1f} ms |",
            flush=True,
        )

    for workers in options.workers:
        with tempfile.TemporaryDirectory() as folder:
            row("SQLite", f"{folder}/jobs.db", workers)
        if options.peers:
            with postgresql(options.vtwasm, options.peers, fsync="on") as database:
                row("PostgreSQL", database, workers)


if __name__ == "__main__":
    main()
