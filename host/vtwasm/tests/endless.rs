//! Programs that never end and never look up: each is ended from outside, and harms no neighbour.

mod common;

use common::{program, run, text};
use std::time::{Duration, Instant};
use vtwasm::{HostError, Limit, Limits, Outcome, Value};

/// C code that goes on for ever, or as good as for ever.
const ENDLESS: &[&str] = &[
    "sum(range(10**12))",
    "10**10**8",
    "import re; re.match('(a*)*b', 'a' * 40)",
    "import collections, itertools; collections.deque(itertools.repeat(0), 0)",
    "any(itertools.repeat(0)) if (itertools := __import__('itertools')) else 0",
    // Calls that double or treble at each level, without a loop.
    "x = 1\nfor _ in range(100): x = slice(x, x, x)\nhash(x)",
    "x = y = ()\nfor _ in range(100): x = x, x; y = y, y\nx == y",
    // What looks at each element, but takes long for each.
    "sorted(range(10**7), key=lambda n: sum(range(10**6)))",
    "while True: sorted([3, 1, 2] * 10**5, key=lambda n: -n)",
    "b = bytes(10**8)\nwhile True: b[1:]",
    "b = bytes(10**7)\nwhile True: b.find(b'xy')",
    "n = 1 << 10**6\nwhile True: n * n",
    "import os\nwhile True: os.path.exists('/')",
    "import time\nwhile True: time.monotonic()",
    "import host\nwhile True: host.call()",
    "import zlib; b = bytes(10**8)\nwhile True: zlib.compress(b, 9)",
    "import hashlib; hashlib.pbkdf2_hmac('sha256', b'', b'', 2**31 - 1)",
    "import hashlib; hashlib.scrypt(b'', salt=b'', n=2**20, r=8, p=8, maxmem=2**31 - 1)",
    "import sqlite3; sqlite3.connect(':memory:').execute('''with recursive c(x) as
        (select 1 union all select x + 1 from c) select count(*) from c''').fetchall()",
    // While memory grows and shrinks, and while many threads are there.
    "while True: [bytes(n) for n in range(1000, 100_000, 99)]",
    "import threading
for _ in range(100): threading.Thread(target=lambda: sum(range(10**12))).start()",
    // Bytecode that CPython would not make: a jump back that never looks, a handler that handles itself,
    // a far jump that wraps around.
    "f = lambda: 0\nf.__code__ = f.__code__.replace(co_code=bytes([149, 0, op('JUMP_BACKWARD_NO_INTERRUPT'), 1]))\nf()",
    "f = lambda: 0\nf.__code__ = f.__code__.replace(co_code=bytes([149, 0, op('RAISE_VARARGS'), 0]),
    co_exceptiontable=bytes([0x81, 1, 1, 0]))\nf()",
    "e = op('EXTENDED_ARG')
f = lambda: 0
f.__code__ = f.__code__.replace(co_code=bytes([149, 0, e, 255, e, 255, e, 255, op('JUMP_FORWARD'), 252]))\nf()",
];
const PRELUDE: &str = "import opcode\nop = opcode.opmap.__getitem__\n";

fn endless(code: &str) -> vtwasm::Builder {
    let mut builder = program(&format!("{PRELUDE}{code}"));
    builder
        .host_function("host", "call", |_| async { Ok::<Value, HostError>(Value::None) })
        .unwrap();
    builder
}

const LATE: Duration = Duration::from_secs(3);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_of_time_ends_whatever_runs() {
    for code in ENDLESS {
        for cpu in [false, true] {
            let mut limits = Limits::default();
            let time = Duration::from_millis(150);
            match cpu {
                true => limits.cpu_time = Some(time),
                false => limits.wall_time = Some(time),
            }
            let began = Instant::now();
            let report = run(endless(code).limits(limits)).await;
            let expected = if cpu { Limit::CpuTime } else { Limit::WallTime };
            assert_eq!(
                report.outcome,
                Outcome::LimitHit(expected),
                "{code}: {}",
                text(&report.stderr)
            );
            let used = if cpu {
                report.usage.cpu_time
            } else {
                began.elapsed()
            };
            println!("{used:?} {code}");
            assert!(used < time + LATE, "{used:?}: {code}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_and_drops_at_any_moment_harm_no_neighbour() {
    let rounds = std::env::var("ROUNDS").map_or(3, |rounds| rounds.parse().unwrap());
    let neighbour = "import hashlib, json
for _ in range(20):
    digest = hashlib.sha256(json.dumps(list(range(20_000))).encode()).hexdigest()
print(digest)";
    let expected = run(&mut program(neighbour)).await.stdout;
    for round in 0..rounds {
        let beside = tokio::spawn(program(neighbour).build().unwrap().run());
        for (index, code) in ENDLESS.iter().enumerate() {
            let sandbox = endless(code).build().unwrap();
            let handle = sandbox.handle();
            let run = tokio::spawn(sandbox.run());
            // From before it has begun to in the middle of it.
            tokio::time::sleep(Duration::from_micros((index * 977 + round * 313) as u64 % 20_000)).await;
            let began = Instant::now();
            if (index + round) % 2 == 0 {
                handle.kill();
                assert_eq!(run.await.unwrap().unwrap().outcome, Outcome::Killed, "{code}");
            } else {
                run.abort();
                assert!(run.await.unwrap_err().is_cancelled());
            }
            assert!(began.elapsed() < LATE, "{:?}: {code}", began.elapsed());
        }
        assert_eq!(text(&beside.await.unwrap().unwrap().stdout), text(&expected));
    }
}

#[tokio::test]
async fn a_sandbox_that_computes_lets_others_of_its_thread_have_their_turn() {
    let spin = |code: &str| {
        let sandbox = endless(code).build().unwrap();
        (sandbox.handle(), tokio::spawn(sandbox.run()))
    };
    let spinners = [spin("while True: pass"), spin("sum(range(10**12))")];
    let mut took = Vec::new();
    for _ in 0..20 {
        let began = Instant::now();
        assert_eq!(run(&mut program("pass")).await.outcome, Outcome::Exited(0));
        took.push(began.elapsed());
    }
    took.sort();
    println!("{took:?}");
    // Two turns of 5 ms for each of its own: as of a quiet machine, and much more where others work.
    assert!(took[10] < Duration::from_millis(500), "{took:?}");
    for (handle, run) in spinners {
        handle.kill();
        assert_eq!(run.await.unwrap().unwrap().outcome, Outcome::Killed);
    }
}
