//! Programs that use up what they can get: each ends by a limit or by itself, and in time, beside a neighbour on
//! the same host thread that goes on meanwhile.

mod common;

use common::{program, run, text};
use std::time::{Duration, Instant};
use vtwasm::{Builder, Limit, Limits, Outcome, Output, Report};

/// The report of this program, while another sandbox counts to ten again and again.
async fn beside_a_neighbour(builder: &mut Builder, change: impl FnOnce(&mut Limits)) -> Report {
    let mut limits = Limits::default();
    change(&mut limits);
    let mut greedy = Box::pin(run(builder.limits(limits)));
    loop {
        let mut neighbour = program("print(*range(10))");
        tokio::select! {
            biased;
            report = &mut greedy => return report,
            report = run(&mut neighbour) => assert_eq!(text(&report.stdout), "0 1 2 3 4 5 6 7 8 9\n"),
        }
    }
}

#[tokio::test]
async fn threads_that_start_others_for_ever_end_at_their_limit_or_in_time() {
    let code = "
import threading, time
refused = 0
def fork():
    global refused
    try:
        while not refused: threading.Thread(target=fork).start()
    except RuntimeError: refused += 1
fork()
for thread in threading.enumerate():
    if thread is not threading.current_thread(): thread.join()
print(refused > 0)";
    let report = beside_a_neighbour(&mut program(code), |limits| limits.threads = 2_000).await;
    assert_eq!(text(&report.stdout), "True\n", "{report:?}");
    let code = "
import threading, time
def fork():
    while True:
        try: threading.Thread(target=fork).start()
        except RuntimeError: time.sleep(0.001)
fork()";
    let report = beside_a_neighbour(&mut program(code), |limits| {
        limits.threads = 2_000;
        limits.wall_time = Some(Duration::from_millis(700));
    })
    .await;
    assert_eq!(report.outcome, Outcome::LimitHit(Limit::WallTime));
}

#[tokio::test]
async fn memory_ends_at_its_limit_in_small_pieces_and_in_one_and_can_be_used_again() {
    let code = "
def fill(piece):
    held = []
    try:
        while True: held.append(bytes(piece))
    except MemoryError: pass
    return piece * len(held)
for piece in 100, 5_000, 1_000_000, 10_000_000:
    print(24_000_000 < fill(piece) < 100_000_000 or (piece, fill(piece)))
for size in 100_000_000, 2_000_000_000:
    try: bytes(size)
    except MemoryError: print('refused')
print(len(bytes(30_000_000)))";
    let limit = 100_000_000;
    let report = beside_a_neighbour(&mut program(code), |limits| limits.memory = limit).await;
    let expected = "True\nTrue\nTrue\nTrue\nrefused\nrefused\n30000000\n";
    assert_eq!(text(&report.stdout), expected, "{report:?}");
    assert!(report.usage.peak_memory <= limit, "{:?}", report.usage);
}

#[tokio::test]
async fn stacks_of_threads_that_recurse_count_for_the_limit_of_memory() {
    // Each takes a MiB of the host's memory or more, keeps it while it waits, and computes for less than a tick.
    let code = "
import functools, sys, threading
sys.setrecursionlimit(100_000)
go = threading.Event()
def recurse():
    @functools.lru_cache(0)
    def f(n): return n and f(n - 1)
    f(1_500)
    go.wait()
threads = [threading.Thread(target=recurse) for _ in range(THREADS)]
for thread in threads: thread.start()
go.set()
for thread in threads: thread.join()
print(len(threads))";
    let limit = |limits: &mut Limits| limits.memory = 96 << 20;
    let few = code.replace("THREADS", "20");
    let report = beside_a_neighbour(&mut program(&few), limit).await;
    assert_eq!(text(&report.stdout), "20\n", "{report:?}");
    let many = code.replace("THREADS", "1000");
    let report = beside_a_neighbour(&mut program(&many), limit).await;
    assert_eq!(report.outcome, Outcome::LimitHit(Limit::Memory), "{report:?}");
    // What has ended does not count any more.
    let in_turn = code.replace("thread.start()", "thread.start(); go.set(); thread.join()");
    let report = beside_a_neighbour(&mut program(&in_turn.replace("THREADS", "300")), limit).await;
    assert_eq!(text(&report.stdout), "300\n", "{report:?}");
}

#[tokio::test]
async fn ten_thousand_threads_hold_up_no_end() {
    for (body, end, outcome) in [
        ("time.sleep", "os._exit(3)", Outcome::Exited(3)),
        ("time.sleep", "sys.exit(4)", Outcome::Exited(4)),
        ("time.sleep", "1 / 0", Outcome::Exited(1)),
        ("lambda _: lock.acquire()", "os._exit(5)", Outcome::Exited(5)),
    ] {
        let code = format!(
            "
import os, sys, threading, time
lock = threading.Lock(); lock.acquire()
for _ in range(10_000): threading.Thread(target={body}, args=(3600,), daemon=True).start()
print(time.monotonic(), flush=True)
{end}"
        );
        let begun = Instant::now();
        let report = beside_a_neighbour(&mut program(&code), |_| ()).await;
        let lasted = begun.elapsed().as_secs_f64();
        assert_eq!(report.outcome, outcome, "{end}: {report:?}");
        assert_eq!(report.usage.threads, 10_001);
        let started: f64 = text(&report.stdout).trim().parse().unwrap();
        assert!(
            // Some 2 s on a busy machine; one that waited for its threads would take an hour.
            lasted - started < 10.0,
            "{end}: {lasted} s, of which {started} s to start them"
        );
    }
}

#[tokio::test]
async fn output_without_a_newline_for_ever_ends_wherever_it_goes() {
    let code = "import sys\nwhile True: sys.stdout.write('x' * 1000)";
    let report = beside_a_neighbour(&mut program(code), |limits| limits.output = Some(1_000_000)).await;
    assert_eq!(report.outcome, Outcome::LimitHit(Limit::Output));
    assert_eq!(report.stdout.len(), 1_000_000);
    let report = beside_a_neighbour(&mut program(code), |limits| limits.memory = 64 << 20).await;
    assert_eq!(report.outcome, Outcome::LimitHit(Limit::Memory));
    for output in [Output::Null, Output::Writer(Box::new(std::io::sink()))] {
        let mut builder = program(code);
        let report = beside_a_neighbour(builder.stdout(output), |limits| {
            limits.cpu_time = Some(Duration::from_millis(300));
        });
        assert_eq!(report.await.outcome, Outcome::LimitHit(Limit::CpuTime));
    }
}

#[tokio::test]
async fn a_mount_that_is_not_there_is_an_error_that_names_it() {
    let mut builder = program("");
    let error = builder
        .mount("/no/such/folder", "/data", vtwasm::Access::Read)
        .err();
    let message = error.map(|error| error.to_string()).unwrap_or_default();
    assert!(message.contains("/no/such/folder"), "{message}");
}
