#!/usr/bin/env python3
"""Measures `vtwasm serve`: jobs a second, and the time from a submission to its first line.

    bench/service.py --vtwasm target/release/vtwasm [--peers FOLDER] [--jobs N] [--workers 1 2] [--load N]
    bench/service.py --vtwasm target/release/vtwasm [--peers FOLDER] --tenants 1000 [--each 25] [--heavy 100000]
    bench/service.py --vtwasm target/release/vtwasm [--peers FOLDER] --soak MINUTES [--load 500] [--workers 1]

On SQLite, and on PostgreSQL if `--peers` names the servers that `cargo xtask test peers` uses (their folder in
~/.cache/vtwasm/peers), with one and two worker processes. The time to the first line is taken one job after the
other while others come at `--load` a second. All of it, this program too, shares the machine.

`--tenants`: so many tenants with `--each` waiting jobs before a worker starts, and one with `--heavy`; then how many of each
ended within a window in which all had some left. `--soak`: jobs come at `--load` a second for so long, and are kept for a
minute; what each process has in memory is told every minute. Both on PostgreSQL if `--peers` is there, else on SQLite.
"""

import argparse
import contextlib
import datetime
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
from itertools import repeat
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests/peers"))
CONNECTIONS = 4
LATENCIES = 300


class Service:
    def __init__(self, vtwasm, database, role="all", *flags):
        command = [vtwasm, "serve", "--listen=127.0.0.1:0", f"--database={database}", f"--role={role}", *flags]
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

    def each(self, method, paths, bodies):
        """The answers to a request for each path, in their order, from CONNECTIONS threads."""
        asked, answers, wrong = iter(enumerate(zip(paths, bodies))), {}, []
        lock = threading.Lock()

        def work():
            connection = self.connection()
            try:
                while not wrong:
                    with lock:
                        at, (path, body) = next(asked, (None, (None, None)))
                    if at is None:
                        return
                    answers[at] = self.ask(connection, method, path, body).read()
            except BaseException as error:
                wrong.append(error)

        threads = [threading.Thread(target=work) for _ in range(CONNECTIONS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if wrong:
            raise wrong[0]
        return [answers[at] for at in sorted(answers)]

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
    """So many empty jobs a second, evenly; how many there were so far, by thread."""
    over, counts = threading.Event(), [0] * CONNECTIONS

    def submit(number):
        connection = service.connection()
        due = time.perf_counter()
        while not over.is_set():
            service.ask(connection, "POST", "/v1/jobs", {"source": "pass"}).read()
            counts[number] += 1
            due += CONNECTIONS / rate
            time.sleep(max(0, due - time.perf_counter()))

    threads = [threading.Thread(target=submit, args=(number,)) for number in range(CONNECTIONS if rate else 0)]
    for thread in threads:
        thread.start()
        time.sleep(1 / max(rate, 1))
    try:
        yield counts
    finally:
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


def shares(vtwasm, database, tenants, each, heavy=0):
    """The fewest and the most jobs of a tenant that ended while all had some left, their mean, those of the one with
    `heavy`, the last of the tenants' first starts in seconds, and jobs a second."""
    api = Service(vtwasm, database, "api")
    names = [f"t{number}" for number in range(tenants)]
    api.each("POST", repeat("/v1/tenants"), ({"id": name} for name in [*names, "heavy"]))
    api.each("POST", repeat("/v1/jobs?tenant=heavy", heavy), repeat({"source": "pass"}))
    # In turns, so that nobody's are older than another's.
    api.each("POST", (f"/v1/jobs?tenant={name}" for name in names * each), repeat({"source": "pass"}))
    worker = Service(vtwasm, database, "worker")
    begun, connection = time.time(), api.connection()
    total = tenants * each + heavy
    while total - api.unfinished(connection) < 0.9 * tenants * each:
        time.sleep(0.05)
    ended = time.time()
    lists = api.each("GET", (f"/v1/jobs?tenant={name}&state=SUCCESS&limit=1000" for name in names), repeat(None))
    hours = json.load(api.ask(connection, "GET", "/v1/figures?tenant=heavy"))["hours"]
    worker.stop()
    api.stop()
    jobs = [json.loads(text)["jobs"] for text in lists]

    def seconds(text):
        return datetime.datetime.fromisoformat(text).timestamp()

    counts = [sum(seconds(job["finished"]) <= ended for job in own) for own in jobs]
    late = max(min((seconds(job["started"]) for job in own), default=ended) for own in jobs) - begun
    mean = sum(counts) / tenants
    heavy_runs = sum(hour["runs"] for hour in hours)
    return min(counts), max(counts), mean, heavy_runs, late, sum(counts) / (ended - begun)


def memory(roots):
    """MiB of each of these processes with all below it; what several share is shared out among them."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            words = path.read_text().rpartition(")")[2].split()
            parents[int(path.parent.name)] = int(words[1])

    def belongs(pid, root):
        while pid and pid != root:
            pid = parents.get(pid, 0)
        return pid == root

    def mib(pid):
        with contextlib.suppress(OSError):
            return int(re.search(r"^Pss: +(\d+)", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.M)[1]) / 1024
        return 0

    return {name: sum(mib(pid) for pid in parents if belongs(pid, root)) for name, root in roots.items()}


def children(name):
    """The process of this name that this program has started."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            before, _, after = path.read_text().rpartition(")")
            if int(after.split()[1]) == os.getpid() and before.partition("(")[2] == name:
                return {name: int(path.parent.name)}
    return {}


def soak(vtwasm, database, workers, rate, minutes):
    """Prints a line a minute, then how much more there is in memory than after the first."""
    service = Service(vtwasm, database, "all", "--keep=60s")
    others = [Service(vtwasm, database, "worker", "--keep=60s") for _ in range(workers - 1)]
    roots = {"service": service.process.pid, **children("postgres")}
    roots |= {f"worker {number}": other.process.pid for number, other in enumerate(others, 2)}
    own = list(roots)
    print(f"| minute | jobs/s submitted | jobs/s ended | waiting | {' | '.join(f'{name}, MiB' for name in own)} |")
    print("|---" * (4 + len(own)) + "|")
    samples, last = [], (0, 0)
    with load(service, rate) as counts:
        begun = time.perf_counter()
        for minute in range(minutes + 1):
            time.sleep(max(0, begun + 60 * minute - time.perf_counter()))
            # A connection is not kept for a minute.
            waiting, count, used = service.unfinished(service.connection()), sum(counts), memory(roots)
            ended = count - waiting
            rates = [(now - before) / 60 for now, before in zip((count, ended), last)]
            last = (count, ended)
            samples.append(used)
            cells = " | ".join(f"{used[name]:.0f}" for name in own)
            print(f"| {minute} | {rates[0]:.0f} | {rates[1]:.0f} | {waiting} | {cells} |", flush=True)
    first = samples[min(1, minutes)]
    growth = ", ".join(f"{name} {samples[-1][name] - first[name]:+.1f} MiB" for name in own)
    print(f"\nfrom minute {min(1, minutes)} to {minutes}: {growth}")
    for process in [service, *others]:
        process.stop()


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


def fairness(_engine):
    """For `cargo xtask bench`: how much more than another one of 1,000 tenants gets, in percent of their mean."""
    with somewhere(Path(os.environ["VTWASM"]), os.environ.get("VTWASM_PEERS")) as (_, database):
        fewest, most, mean, *_ = shares(Path(os.environ["VTWASM"]), database, 1000, 25)
    return {"service_tenants_spread_percent": 100 * (most - fewest) / mean}


@contextlib.contextmanager
def somewhere(vtwasm, peers):
    """PostgreSQL, if it is there, else SQLite: its name and address."""
    if peers:
        with postgresql(vtwasm, Path(peers), fsync="on") as database:
            yield "PostgreSQL", database
    else:
        with tempfile.TemporaryDirectory() as folder:
            yield "SQLite", f"{folder}/jobs.db"


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
    parser.add_argument("--load", type=int)
    parser.add_argument("--tenants", type=int)
    parser.add_argument("--each", type=int, default=25)
    parser.add_argument("--heavy", type=int, default=0)
    parser.add_argument("--soak", type=int, metavar="MINUTES")
    options = parser.parse_args()
    if options.soak:
        with somewhere(options.vtwasm, options.peers) as (name, database):
            print(f"{name}, {options.load or 500} jobs a second for {options.soak} minutes\n")
            soak(options.vtwasm, database, options.workers[0], options.load or 500, options.soak)
        return
    if options.tenants:
        with somewhere(options.vtwasm, options.peers) as (name, database):
            fewest, most, mean, heavy, late, rate = shares(
                options.vtwasm, database, options.tenants, options.each, options.heavy
            )
        print(
            f"{name}: {options.tenants} tenants with {options.each} jobs each, one with {options.heavy}: from {fewest} to {most} "
            f"jobs each in the window, {100 * (most - fewest) / mean:.1f} % of their mean of {mean:.1f}; {heavy} of the one; "
            f"the last tenant's first job began after {late:.2f} s; {rate:.0f} jobs/s"
        )
        return
    print("| | no-op jobs/s | jobs/s that sleep 10 ms | submissions/s | to the first line, p50 | p99 |\n|---|---|---|---|---|---|")

    def row(name, database, workers):
        nothing, sleeping, submitted, p50, p99 = measure(
            options.vtwasm, database, workers, options.jobs, options.load or 250
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
