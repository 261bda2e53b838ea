"""Turns the medians into a table of ratios, and compares them with the figures to reach."""

import math

from measure import GEVENT, NATIVE, PINNED, SANDBOXES, VTWASM

# Of pyperformance (programs/pure_python.py).
PURE_PYTHON = """async_generators barnes_hut chaos comprehensions coroutines deepcopy deltablue fannkuch float
    generators go hexiom logging meteor_contest nbody nqueens pprint pyflate raytrace richards scimark spectral_norm
    typing_runtime_protocols unpack_sequence""".split()

# metric: label. The unit is the end of the metric's name.
LABELS = {
    "start_join_us": "start + join",
    "start_1000_join_us": "start 1,000, then join, each",
    "simplequeue_us": "SimpleQueue round trip",
    "queue_us": "queue.Queue round trip",
    "lock_us": "lock pair round trip",
    "semaphore_us": "semaphore round trip",
    "event_us": "event round trip",
    "condition_us": "condition round trip",
    "free_lock_ns": "uncontended lock",
    "monotonic_ns": "time.monotonic",
    "pool_ms": "ThreadPoolExecutor(100), 10,000 × sleep(1 ms)",
    "tls_handshake_us": "TLS: both ends of a handshake",
    "tls_chacha20_us": "TLS: 16 KiB through both ends, ChaCha20",
    "tls_aes_128_gcm_us": "TLS: 16 KiB through both ends, AES-128-GCM",
    "sha256_us": "sha256 of 16 KiB",
    "sha3_256_us": "sha3_256 of 16 KiB",
    "blake2b_us": "blake2b of 16 KiB",
    "start_pass_ms": "whole process: `-c pass`",
    "start_hello_ms": "whole process: ten threads say hello",
    "sandbox_p50_us": "new sandbox, `pass`, its outcome; one core: median",
    "sandbox_p99_us": "new sandbox, `pass`, its outcome; one core: p99",
    "sandbox_each_us": "new sandbox, `pass`, its outcome; one core: 10,000, each",
    "sandbox_growth_kib": "new sandbox, `pass`, its outcome; one core: growth over the last 7,500",
    "prepared_sandbox_p50_us": "the same from a snapshot with json, asyncio, ssl, sqlite3 …: median",
    "prepared_sandbox_p99_us": "the same from a snapshot with json, asyncio, ssl, sqlite3 …: p99",
    "sustained_sandbox_each_us": "300,000 new sandboxes, one after the other: each",
    "sustained_sandbox_p99_us": "300,000 new sandboxes, one after the other: p99",
    "sustained_sandbox_growth_kib": "300,000 new sandboxes: growth over the last 225,000",
    "idle_session_kib": "1,000 sessions with 10 threads asleep each: memory of one, beyond the shared image",
    "idle_sessions_s": "1,000 sessions with 10 threads asleep each: to start all",
    "idle_session_call_us": "1,000 sessions with 10 threads asleep each: a call to each",
    "fair_alone_p50_us": "a session's job of 1 ms, alone on its core: median",
    "fair_alone_p99_us": "a session's job of 1 ms, alone on its core: p99",
    "fair_beside_p50_us": "the same beside a sandbox that computes for ever: median",
    "fair_beside_p99_us": "the same beside a sandbox that computes for ever: p99",
    **{
        f"cancel_{what}_{way}{end}_us": f"{text} that is {past}: over after, {figure}"
        for what, text in (
            ("computing", "a run that computes"),
            ("waiting", "a run that waits"),
            ("threads", "a run with 10,000 threads asleep"),
        )
        for way, past in (("kill", "killed"), ("drop", "dropped"))
        for end, figure in (("", "median"), ("_max", "longest of 15"))
    },
    "host_call_us": "a call of a host function",
    "host_call_100_threads_us": "a call of a host function, 100 threads at once: each",
    "host_call_1mb_us": "a call of a host function, 1 MB there and back",
    "session_call_us": "a session's call",
    "late_p50_ms": "sleeper beside 2 spinners late by, median",
    "late_p99_ms": "sleeper beside 2 spinners late by, p99",
    "late_max_ms": "sleeper beside 2 spinners late by, max",
    "share_max_over_min": "four spinners' shares, max / min",
    "switch_100_us": "one switch, 100 live threads",
    "switch_10000_us": "one switch, 10,000 live threads",
    "switch_100000_us": "one switch, 100,000 live threads",
    **{
        f"asleep_{count}_{end}": f"{count:,} threads asleep: {what}"
        for count in (1_000, 10_000, 30_000, 100_000)
        for end, what in (("started", "started"), ("s", "to start all"), ("kib", "resident each"))
    },
    **{
        f"cpu_{name}_ms": f"CPU: {name}"
        for name in "fib loops nbody dicts strings json regex sort objects".split()
    },
    "cpu_geomean_ms": "CPU: geometric mean of the nine",
    **{f"pyperformance_{name}_ms": f"pyperformance: {name}" for name in PURE_PYTHON},
    "pyperformance_geomean_ms": "pyperformance: geometric mean of these",
}
ECHO = {
    "each_us": "time per echo",
    "p50_us": "median wait",
    "p99_us": "p99 wait",
    "kib": "resident each",
}
NETWORK = {
    "pair_tcp_us": "send and receive where nobody waits, TCP",
    "pair_us": "send and receive where nobody waits, `socketpair`",
    "wake_us": "echo on one connection, whose thread waits each time",
    **{
        f"echo_{count}_{end}": f"echo, a thread for each of {count:,} connections: {what}"
        for count in (100, 1_000, 10_000)
        for end, what in ECHO.items()
    },
    **{
        f"asyncio_1000_{end}": f"echo, asyncio, 1,000 connections: {what}"
        for end, what in ECHO.items()
    },
    "pages_s": "10,000 pages of a slow server, fetched by a pool of 1,000 threads",
    "flask_us": "flask: a request, with a thread for each",
    **{
        f"service_{name}_{figure}": f"`vtwasm serve` on {database}: {text}"
        for name, database in (("sqlite", "SQLite"), ("postgresql", "PostgreSQL"))
        for figure, text in (
            ("job_us", "an empty job, submitted and run"),
            ("line_p50_ms", "from submission to first line at half load, median"),
            ("line_p99_ms", "from submission to first line at half load, p99"),
        )
    },
    "service_tenants_spread_percent": "1,000 tenants that wait: what one gets more than another, of their mean",
}
BROWSER = {
    "browser_first_visit_mb": "a first visit loads",
    "browser_prompt_s": "from a visit to a prompt, cached",
    "browser_pyodide_prompt_s": "the same of Pyodide",
    "browser_prompt_ratio": "from a visit to a prompt ÷ Pyodide's",
    "browser_pass_ms": "`-c pass`, its worker and all",
    "browser_start_join_us": "start + join, in a page",
    "browser_start_1000_join_us": "start 1,000, then join, each",
    "browser_simplequeue_us": "SimpleQueue round trip, two hand-overs, in a page",
    "browser_queue_us": "queue.Queue round trip",
    "browser_lock_us": "lock pair round trip, two hand-overs, in a page",
    "browser_semaphore_us": "semaphore round trip",
    "browser_event_us": "event round trip",
    "browser_condition_us": "condition round trip",
    "browser_sleepers_mb": "10,000 threads asleep, watched: memory of the tab",
    **{
        f"browser_cpu_{name}_ratio": f"CPU ÷ host in Rust: {name}"
        for name in "fib loops nbody dicts strings json regex sort objects".split()
    },
    "browser_cpu_ratio": "CPU ÷ host in Rust: geometric mean of the nine",
}
OTHERS = {
    "sandbox_p50_us": "a new one, `pass`, its outcome: median",
    "bare_idle_session_kib": "one that lives and waits: memory",
    "cpu_geomean_ms": "CPU: geometric mean of the nine programs",
}
UNITS = {"us": "µs", "ns": "ns", "ms": "ms", "s": "s", "kib": "KiB", "mb": "MB"}

# (figure, engine it is a ratio to or None, at most). The issues "Virtual threads end to end",
# "Blocking I/O that blocks only its thread" and "A fresh, limited Python in under a millisecond".
FIGURES = [
    ("start_join_us", PINNED, 0.5),
    ("start_join_us", NATIVE, 0.25),
    ("simplequeue_us", PINNED, 0.7),
    ("lock_us", PINNED, 0.7),
    ("semaphore_us", PINNED, 1.1),
    ("event_us", PINNED, 1.1),
    ("condition_us", PINNED, 1.1),
    ("simplequeue_us", NATIVE, 0.2),
    ("lock_us", NATIVE, 0.2),
    ("semaphore_us", NATIVE, 0.2),
    ("event_us", NATIVE, 0.2),
    ("condition_us", NATIVE, 0.2),
    ("asleep_100000_s", None, 3.0),
    ("asleep_100000_kib", None, 24.0),
    ("pool_ms", PINNED, 1.0),
    ("free_lock_ns", NATIVE, 2.0),
    ("monotonic_ns", NATIVE, 3.0),
    ("echo_1000_each_us", NATIVE, 1.0),
    ("echo_1000_each_us", GEVENT, 1.5),
    ("echo_1000_kib", None, 32.0),
    ("asyncio_1000_each_us", NATIVE, 2.5),
    ("sandbox_p50_us", None, 700),
    ("sandbox_p99_us", None, 2000),
    ("sandbox_each_us", None, 1000),
    ("prepared_sandbox_p50_us", None, 1000),
    ("sustained_sandbox_each_us", None, 1000),
    ("sustained_sandbox_growth_kib", None, 1024),
    ("idle_session_kib", None, 3072),
    ("fair_beside_p99_us", None, 20_000),
    ("cancel_computing_kill_max_us", None, 10_000),
    ("cancel_waiting_kill_max_us", None, 10_000),
    ("cancel_threads_kill_max_us", None, 10_000),
    ("cancel_computing_drop_max_us", None, 10_000),
    ("cancel_waiting_drop_max_us", None, 10_000),
    ("cancel_threads_drop_max_us", None, 10_000),
    ("start_hello_ms", NATIVE, 1.0),
    ("late_p99_ms", None, 5.0),
    ("share_max_over_min", None, 1.1),
    ("cpu_geomean_ms", NATIVE, 2.4),
    ("pyperformance_geomean_ms", NATIVE, 1.7),
    # "The multi-tenant job runner": 500 jobs a second, and 300.
    ("service_postgresql_job_us", None, 2000),
    ("service_postgresql_line_p50_ms", None, 10),
    ("service_postgresql_line_p99_ms", None, 60),
    ("service_sqlite_job_us", None, 3333),
    ("service_tenants_spread_percent", None, 10),
    # "The same Python in the browser, with threads that one can watch".
    ("browser_first_visit_mb", None, 8),
    ("browser_prompt_s", None, 1),
    ("browser_prompt_ratio", None, 0.5),
    ("browser_start_join_us", None, 30),
    ("browser_simplequeue_us", None, 30),
    ("browser_lock_us", None, 30),
    ("browser_sleepers_mb", None, 600),
    ("browser_cpu_ratio", None, 1.3),
]


def render(run):
    """The page as Markdown, and how many figures were measured and not reached."""
    medians = run["medians"]
    for metrics in medians.values():
        for kind in ("cpu", "pyperformance"):
            times = [value for metric, value in metrics.items() if metric.startswith(f"{kind}_")]
            if times:
                metrics[f"{kind}_geomean_ms"] = math.exp(sum(map(math.log, times)) / len(times))
    checks = list(check_figures(medians))
    missed = sum(reached is False for *_, reached in checks)
    lines = [
        "# Benchmarks",
        "",
        f"{run['when']} UTC, {run['cores']} cores, Linux {run['kernel']}, load {run['load']:.1f} before"
        f" the run, which took {run['seconds']} s. Medians of interleaved rounds; native is the same"
        " CPython built with -O3, *pinned* is native on one core. Ratios below 1: vtwasm is faster or"
        " smaller. Raw values: results/latest.json.",
        "",
        *table(medians, LABELS, (NATIVE, PINNED)),
        "",
        "## The network",
        "",
        "The other side is always native Python; gevent is native, too.",
        "",
        *table(medians, NETWORK, (NATIVE, PINNED, GEVENT)),
        "",
        "## The browser",
        "",
        "The page of web/ in Chromium.",
        "",
        *table(medians, BROWSER, ()),
        "",
        "## Other sandboxes",
        "",
        "CPython in WebAssembly from PyPI, driven by native Python; all on one core but CPU-bound vtwasm.",
        "",
        *table(medians, OTHERS, SANDBOXES),
        "",
        "## Figures to reach",
        "",
        "| figure | at most | measured | |",
        "|---|---|---|---|",
    ]
    for figure, limit, measured, reached in checks:
        word = {True: "reached", False: "**not reached**", None: "not measured"}[reached]
        lines.append(f"| {figure} | {limit} | {measured} | {word} |")
    return "\n".join(lines) + "\n", missed


def table(medians, labels, others):
    yield f"| | {' | '.join([VTWASM, *others, *('÷ ' + other for other in others)])} |"
    yield "|" + (2 + 2 * len(others)) * "---|"
    for metric, label in labels.items():
        value = medians[VTWASM].get(metric)
        beside = [medians[other].get(metric) for other in others]
        if value is not None or any(beside):
            cells = [show(metric, one) for one in (value, *beside)]
            cells += [ratio(value, other) for other in beside]
            yield f"| {label} | {' | '.join(cells)} |"


def show(metric, value):
    if value is None:
        return "–"
    if metric.endswith("_started"):
        return f"{value:,.0f}"
    unit = UNITS.get(metric.rsplit("_", 1)[1], "")
    digits = 0 if value >= 100 else 1 if value >= 10 else 2
    return f"{value:,.{digits}f} {unit}".strip()


def ratio(ours, other):
    return f"{ours / other:.2f}" if ours is not None and other else "–"


def check_figures(medians):
    """(figure, limit, measured, reached) as text; reached is None when it was not measured."""
    ours = medians[VTWASM]
    for metric, against, limit in FIGURES:
        label = (LABELS | NETWORK | BROWSER)[metric]
        value = ours.get(metric)
        if against is None:
            reached = None if value is None else value <= limit
            yield label, show(metric, limit), show(metric, value), reached
            continue
        other = medians[against].get(metric)
        known = value is not None and other
        name = "native, pinned" if against == PINNED else against
        yield (
            f"{label} ÷ {name}",
            f"{limit}",
            ratio(value, other),
            value / other <= limit if known else None,
        )
    yield from check_switches(ours)
    yield from check_sleepers(ours)
    yield from check_network(medians)


def check_switches(ours):
    few = ours.get("switch_100_us")
    for count in (10_000, 100_000):
        many = ours.get(f"switch_{count}_us")
        reached = many / few <= 1.25 if many and few else None
        yield f"one switch at {count:,} live threads ÷ at 100", "1.25", ratio(many, few), reached


def check_sleepers(ours):
    count = ours.get("asleep_100000_started")
    depth = ours.get("asleep_100000_depth")
    reached = count and count >= 100_000
    yield "threads asleep at once (at least)", "100,000", show("_started", count), reached
    reached = None if depth is None else depth > 0
    yield "sampled sleepers recurse to RecursionError", "all", "all" if reached else "–", reached


def check_network(medians):
    ours, native = (medians[engine].get("wake_us") for engine in (VTWASM, NATIVE))
    later = ours - native if ours and native else None
    label = "a parked thread's echo on one connection, later than natively"
    yield label, show("wake_us", 10), show("wake_us", later), None if later is None else later <= 10
    least = medians[VTWASM].get("echo_10000_least")
    answered = None if least is None else least >= 1
    label = "10,000 connections hold steady: echoes on each in 3 s (at least)"
    yield label, "1", show("_started", least), answered
