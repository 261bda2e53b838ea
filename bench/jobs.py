"""The benchmarks: what runs, on which Python, how often."""

from dataclasses import dataclass
from typing import Callable

import browser
import network
import service
from measure import ENGINES, LOOPBACK, NATIVE, PINNED, SANDBOXES, VTWASM
from measure import asleep, embedding, other_sandbox, program, pure_python, starts


@dataclass
class Job:
    """One benchmark. `name` is what the command line calls it; several jobs may share one."""

    name: str
    run: Callable
    rounds: int = 5
    engines: tuple = (VTWASM, NATIVE, PINNED)
    quick: bool = True


# What a service that talks to others has loaded, as much as the standard library has of it.
PREPARE = "import json, asyncio, http.client, urllib.request, ssl, email, sqlite3, logging.config"

JOBS = [
    Job("threads", program("threads.py")),
    Job("round_trips", program("round_trips.py")),
    Job("calls", program("calls.py")),
    Job("pool", program("pool.py")),
    Job("cpu", program("cpu.py"), engines=(VTWASM, NATIVE)),
    Job("pure_python", pure_python, rounds=3, engines=(VTWASM, NATIVE)),
    Job("tls", program("tls.py"), rounds=3, engines=(VTWASM, NATIVE)),
    Job("start", starts),
    Job("sandboxes", embedding("start", "pass", 10_000), rounds=3, engines=(VTWASM,)),
    Job("sandboxes", embedding("start", "pass", 2_000, PREPARE, prefix="prepared_"), rounds=3, engines=(VTWASM,)),
    Job("others", embedding("idle", 100, 0, prefix="bare_"), rounds=1, engines=(VTWASM,)),
    Job("others", other_sandbox, rounds=3, engines=tuple(SANDBOXES)),
    # A minute of it, if it is as fast as it was.
    Job("sustained", embedding("start", "pass", 300_000, prefix="sustained_"), 1, (VTWASM,), quick=False),
    Job("idle", embedding("idle", 1_000, 10), rounds=1, engines=(VTWASM,)),
    Job("fair", embedding("fair", 500), rounds=3, engines=(VTWASM,)),
    Job("cancel", embedding("cancel", 15), rounds=1, engines=(VTWASM,)),
    Job("host_calls", embedding("host_calls"), rounds=3, engines=(VTWASM,)),
    Job("fairness", program("fairness.py"), rounds=3),
    Job("switch", program("switch.py", "100"), rounds=5),
    Job("switch", program("switch.py", "10000"), rounds=5),
    Job("switch", program("switch.py", "100000"), rounds=3, engines=(VTWASM,)),
    Job("pair", program("pair.py", flags=LOOPBACK), rounds=3),
    Job("wake", network.wake, rounds=3),
    Job("echo", network.echo(100), rounds=3, engines=ENGINES),
    Job("echo", network.echo(1_000), rounds=3, engines=ENGINES),
    Job("echo", network.echo(10_000), rounds=3, engines=ENGINES),
    Job("asyncio", network.echo(1_000, "asyncio"), rounds=3, engines=(VTWASM, NATIVE)),
    Job("pages", network.pages, rounds=3, engines=ENGINES),
    Job("flask", network.flask, rounds=3),
    Job("asleep", asleep(1_000), rounds=3),
    Job("asleep", asleep(10_000), rounds=3, quick=False),
    # Natively the last two end where the kernel's limits do, at about 22,000 threads.
    Job("asleep", asleep(30_000), rounds=3, quick=False, engines=(VTWASM, NATIVE)),
    Job("asleep", asleep(100_000), rounds=3, engines=(VTWASM,)),
    Job("service", service.figures, rounds=1, engines=(VTWASM,)),
    Job("service", service.fairness, rounds=1, engines=(VTWASM,), quick=False),
    Job("browser", browser.figures, rounds=1, engines=(VTWASM,)),
]
