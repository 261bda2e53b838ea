//! What an embedder relies on.

mod common;

use common::{program, run, text};
use std::time::{Duration, Instant};
use vtwasm::{Access, Activity, Limit, Limits, Outcome, Span};

fn limits(change: impl FnOnce(&mut Limits)) -> Limits {
    let mut limits = Limits::default();
    change(&mut limits);
    limits
}

#[tokio::test]
async fn output_is_captured_and_the_exit_code_passed_on() {
    let report = run(&mut program(
        "import sys; print('out'); print('err', file=sys.stderr); sys.exit(7)",
    ))
    .await;
    assert_eq!(report.outcome, Outcome::Exited(7));
    assert_eq!((text(&report.stdout), text(&report.stderr)), ("out\n", "err\n"));
    assert_eq!(report.usage.output, 8);
}

#[tokio::test]
async fn ssl_trusts_the_certificates_that_were_given_and_no_others() {
    let code = "import ssl
context = ssl.create_default_context()
print([dict(pair for (pair,) in found['subject'])['commonName'] for found in context.get_ca_certs()])";
    let ca = include_bytes!("../../../tests/programs/tls_certificates/ca.pem");
    let report = run(program(code).certificates(ca).unwrap()).await;
    assert_eq!(text(&report.stdout), "['ca']\n", "{}", text(&report.stderr));
    let report = run(&mut program(code)).await;
    assert_eq!(text(&report.stdout), "[]\n", "{}", text(&report.stderr));
}

const UNTIL: &str = "import errno, os
def until(make):
    made = []
    try:
        while True: made.append(make())
    except OSError as error: print(len(made), errno.errorcode[error.errno])
    return made
";

#[tokio::test]
async fn descriptors_end_at_their_limit_and_can_be_used_again() {
    let code = "
for _ in range(2):
    for fd in until(lambda: os.dup(0)): os.close(fd)
for pipe in until(os.pipe): os.close(pipe[0])
until(lambda: os.open('/dev/null', os.O_RDONLY))";
    let few = limits(|limits| limits.descriptors = 50);
    // Three streams, and the folder of the library.
    let report = run(program(&format!("{UNTIL}{code}")).limits(few)).await;
    let expected = "46 EMFILE\n46 EMFILE\n23 EMFILE\n23 EMFILE\n";
    assert_eq!(text(&report.stdout), expected, "{}", text(&report.stderr));
}

#[tokio::test]
async fn open_files_end_before_the_hosts_do() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), "kept").unwrap();
    let code = "
files = until(lambda: os.open('/data/file', os.O_RDONLY))
for file in files: os.close(file)
files = until(lambda: os.open('/data/file', os.O_RDONLY))";
    let code = format!("{UNTIL}{code}");
    let report = run(program(&code).mount(&folder, "/data", Access::Read).unwrap()).await;
    assert_eq!(
        text(&report.stdout),
        "123 EMFILE\n".repeat(2),
        "{}",
        text(&report.stderr)
    );
    let code = format!(
        "{UNTIL}
until(lambda: os.dup(0))
until(lambda: os.open('/data/file', os.O_WRONLY | os.O_TRUNC))
until(lambda: os.open('/data/new', os.O_WRONLY | os.O_CREAT))"
    );
    let mut builder = program(&code);
    builder.limits(limits(|limits| limits.descriptors = 50));
    let report = run(builder.mount(&folder, "/data", Access::ReadWrite).unwrap()).await;
    assert_eq!(
        text(&report.stdout),
        "45 EMFILE\n0 EMFILE\n0 EMFILE\n",
        "{}",
        text(&report.stderr)
    );
    assert_eq!(std::fs::read(folder.path().join("file")).unwrap(), b"kept");
    assert!(!folder.path().join("new").exists());
}

#[tokio::test]
async fn bytes_written_to_files_end_at_their_limit_however_they_are_written() {
    let code = "
def tell(write):
    try: print(write())
    except OSError as error: print(errno.errorcode[error.errno])
def truncate(size):
    with open('/data/t', 'wb') as file: return file.truncate(size)
tell(lambda: open('/data/a', 'wb').write(b'x' * 400_000))
tell(lambda: open('/data/a', 'wb').write(b'x' * 800_000))
tell(lambda: truncate(1_000_000))
tell(lambda: truncate(1_000))
fd = os.open('/data/p', os.O_RDWR | os.O_CREAT)
tell(lambda: os.pwrite(fd, b'x' * 900_000, 0))
tell(lambda: os.pwrite(fd, b'x' * 100, 1 << 40))
fd = os.open('/data/l', os.O_WRONLY | os.O_APPEND | os.O_CREAT)
tell(lambda: os.write(fd, b'x' * 900_000))
os.remove('/data/a')
tell(lambda: os.write(fd, b'x' * 900_000))
print('and on')";
    let folder = tempfile::tempdir().unwrap();
    let code = format!("{UNTIL}{code}");
    let mut builder = program(&code);
    builder.limits(limits(|limits| limits.written = Some(1_000_000)));
    let report = run(builder.mount(&folder, "/data", Access::ReadWrite).unwrap()).await;
    let expected = "400000\nEDQUOT\nEDQUOT\n1000\nEDQUOT\n100\nEDQUOT\nEDQUOT\nand on\n";
    assert_eq!(text(&report.stdout), expected, "{}", text(&report.stderr));
    let written = report.usage.written;
    assert!((401_100..=1_000_000).contains(&written), "{written}");
}

#[tokio::test]
async fn what_is_made_counts_and_what_is_there_already_does_not() {
    let code = r"
import errno, os
def made(make):
    try:
        for n in range(1000): make(f'/data/{make.__name__}{n}')
    except OSError as error: print(errno.errorcode[error.errno], end=' ')
    print(n)
def again(path): open('/data/a', 'w').close()
def file(path): open(path, 'x').close()
def folder(path): os.mkdir(path)
def link(path): os.link('/data/a', path)
def symlink(path): os.symlink('a', path)
for make in (again, file, folder, link, symlink): made(make)
os.remove('/data/a')
made(again)";
    let folder = tempfile::tempdir().unwrap();
    let mut builder = program(code);
    builder.limits(limits(|limits| limits.written = Some(101 * 1024 - 1)));
    let report = run(builder.mount(&folder, "/data", Access::ReadWrite).unwrap()).await;
    let expected = "999\nEDQUOT 100\nEDQUOT 0\nEDQUOT 0\nEDQUOT 0\nEDQUOT 0\n";
    assert_eq!(text(&report.stdout), expected, "{}", text(&report.stderr));
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 100);
    assert_eq!(
        (report.usage.written, &*report.reached),
        (0, &[Limit::Written][..])
    );
}

#[tokio::test]
async fn the_report_names_the_limits_that_were_reached_whatever_came_of_it() {
    let go_on =
        |statement: &str| format!("import os, threading, time\ntry:\n {statement}\nexcept Exception: pass");
    let threads = "for _ in range(9): threading.Thread(target=time.sleep, args=(0.01,)).start()";
    for (code, change, reached) in [
        (
            go_on("bytes(10**9)"),
            (|l| l.memory = 64 << 20) as fn(&mut Limits),
            Limit::Memory,
        ),
        (go_on(threads), |l| l.threads = 5, Limit::Threads),
        (
            go_on("while True: os.dup(0)"),
            |l| l.descriptors = 30,
            Limit::Descriptors,
        ),
        (
            go_on("open('/data/x', 'w').write('x' * 2000)"),
            |l| l.written = Some(1000),
            Limit::Written,
        ),
        (
            go_on("print('x' * 2000)"),
            |l| l.output = Some(1000),
            Limit::Output,
        ),
        (
            go_on("while True: pass"),
            |l| l.cpu_time = Some(Duration::from_millis(50)),
            Limit::CpuTime,
        ),
        (
            go_on("time.sleep(9)"),
            |l| l.wall_time = Some(Duration::from_millis(50)),
            Limit::WallTime,
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let mut builder = program(&code);
        builder
            .limits(limits(change))
            .mount(&folder, "/data", Access::ReadWrite)
            .unwrap();
        let report = run(&mut builder).await;
        assert_eq!(report.reached, [reached], "{code}: {report:?}");
        let all = Outcome::Exited(0);
        let ends = [Limit::Output, Limit::CpuTime, Limit::WallTime].contains(&reached);
        assert_eq!(
            report.outcome,
            if ends { Outcome::LimitHit(reached) } else { all },
            "{code}"
        );
    }
    assert_eq!(run(&mut program("pass")).await.reached, []);
}

#[tokio::test]
async fn a_folder_that_is_mounted_is_of_that_run_only() {
    let folders = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let code = "import os, glob
try: print(*[(path, open(path).read()) for path in sorted(glob.glob('/data/*'))], *sorted(os.listdir('/data')))
except OSError as error: print(type(error).__name__)";
    for (content, folder) in ["one", "two"].iter().zip(&folders) {
        std::fs::write(folder.path().join(content), content).unwrap();
        let report = run(program(code).mount(folder, "/data", Access::Read).unwrap()).await;
        let expected = format!("('/data/{content}', '{content}') {content}\n");
        assert_eq!(text(&report.stdout), expected, "{}", text(&report.stderr));
    }
    assert_eq!(text(&run(&mut program(code)).await.stdout), "FileNotFoundError\n");
}

#[tokio::test]
async fn os_exit_on_a_thread_ends_the_run() {
    let code = "import os, threading, time
threading.Thread(target=os._exit, args=(9,)).start()
time.sleep(3600)";
    assert_eq!(run(&mut program(code)).await.outcome, Outcome::Exited(9));
}

#[tokio::test]
async fn usage_counts_threads_and_switches() {
    let code = "import threading
threads = [threading.Thread(target=int) for _ in range(50)]
for t in threads: t.start()
for t in threads: t.join()";
    let usage = run(&mut program(code)).await.usage;
    assert_eq!(usage.threads, 51);
    assert!(usage.switches >= 50, "{usage:?}");
    assert!(
        usage.peak_memory > 1 << 20 && usage.cpu_time > Duration::ZERO,
        "{usage:?}"
    );
}

#[tokio::test]
async fn wall_time_ends_loops_sleeps_and_c_code_that_never_looks() {
    for code in [
        "while True: pass",
        "import time; time.sleep(3600)",
        "sum(range(10**12))",
    ] {
        let started = Instant::now();
        let time = Duration::from_millis(300);
        let report = run(program(code).limits(limits(|l| l.wall_time = Some(time)))).await;
        assert_eq!(report.outcome, Outcome::LimitHit(Limit::WallTime), "{code}");
        assert!(
            started.elapsed() >= time && started.elapsed() < Duration::from_secs(20),
            "{code}"
        );
    }
}

#[tokio::test]
async fn cpu_time_counts_computing_and_not_sleeping() {
    let limit = Duration::from_millis(400);
    let sleeper =
        run(program("import time; time.sleep(0.6)").limits(limits(|l| l.cpu_time = Some(limit)))).await;
    assert_eq!(sleeper.outcome, Outcome::Exited(0));
    let loop_ = run(program("while True: pass").limits(limits(|l| l.cpu_time = Some(limit)))).await;
    assert_eq!(loop_.outcome, Outcome::LimitHit(Limit::CpuTime));
    assert!(loop_.usage.cpu_time >= limit);
}

#[tokio::test]
async fn output_ends_at_its_limit() {
    let report =
        run(program("while True: print('x' * 100)").limits(limits(|l| l.output = Some(10_000)))).await;
    assert_eq!(report.outcome, Outcome::LimitHit(Limit::Output));
    assert!(report.stdout.len() < 100_000);
}

#[tokio::test]
async fn memory_is_a_memory_error_and_python_goes_on() {
    let code = "try:
    b'x' * 10**9
except MemoryError:
    print('caught', len(b'x' * 1000))";
    let report = run(program(code).limits(limits(|l| l.memory = 64 << 20))).await;
    assert_eq!(text(&report.stdout), "caught 1000\n", "{}", text(&report.stderr));
    assert!(report.usage.peak_memory <= 64 << 20);
}

#[tokio::test]
async fn too_many_threads_are_a_runtime_error() {
    let code = "import threading
go = threading.Event()
started = 0
try:
    for _ in range(200_000):
        threading.Thread(target=go.wait, daemon=True).start()
        started += 1
except RuntimeError as error:
    print(started, error)
go.set()";
    let report = run(program(code).limits(limits(|l| l.threads = 100))).await;
    assert_eq!(
        text(&report.stdout),
        "100 can't start new thread\n",
        "{}",
        text(&report.stderr)
    );
}

#[tokio::test]
async fn a_deadlock_names_its_threads_instead_of_hanging() {
    let code = "import threading
a, b = threading.Lock(), threading.Lock()
both = threading.Barrier(2)
def grab(first, second):
    with first:
        both.wait()
        with second: pass
t = threading.Thread(target=grab, args=(a, b)); t.start()
grab(b, a)";
    let report = run(&mut program(code)).await;
    assert_eq!(report.outcome, Outcome::Deadlocked);
    assert_eq!(
        text(&report.stderr).matches("in grab").count(),
        2,
        "{}",
        text(&report.stderr)
    );
}

#[tokio::test]
async fn interrupt_is_a_keyboard_interrupt_in_a_loop_and_in_a_wait() {
    for wait in [
        "while True: pass",
        "import threading; threading.Lock().acquire() and threading.Event().wait(3600)",
    ] {
        let code = format!(
            "try:\n    print('ready', flush=True)\n    exec({wait:?})\nexcept KeyboardInterrupt: print('caught')"
        );
        let sandbox = program(&code).build().unwrap();
        let handle = sandbox.handle();
        let run = tokio::spawn(sandbox.run());
        tokio::time::sleep(Duration::from_millis(300)).await;
        handle.interrupt();
        let report = tokio::time::timeout(Duration::from_secs(60), run)
            .await
            .unwrap()
            .unwrap()
            .unwrap();
        assert_eq!(
            text(&report.stdout),
            "ready\ncaught\n",
            "{}",
            text(&report.stderr)
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_ends_a_run_whatever_it_does() {
    let many = "import threading, time
for _ in range(2000): threading.Thread(target=time.sleep, args=(3600,)).start()
while True: pass";
    for code in [
        "while True: pass",
        "import time; time.sleep(3600)",
        "sum(range(10**12))",
        many,
    ] {
        let sandbox = program(code).build().unwrap();
        let handle = sandbox.handle();
        let run = tokio::spawn(sandbox.run());
        tokio::time::sleep(Duration::from_millis(500)).await;
        let killed = Instant::now();
        handle.kill();
        assert_eq!(run.await.unwrap().unwrap().outcome, Outcome::Killed, "{code}");
        assert!(
            killed.elapsed() < Duration::from_secs(5),
            "{code}: {:?}",
            killed.elapsed()
        );
    }
}

#[tokio::test]
async fn a_sandbox_that_computes_does_not_stop_its_neighbour_on_the_same_thread() {
    let hog = program("while True: pass").build().unwrap();
    let handle = hog.handle();
    let hog = tokio::spawn(hog.run());
    let report = run(&mut program(
        "import time\nfor _ in range(20): time.sleep(0.001)\nprint('done')",
    ))
    .await;
    assert_eq!(text(&report.stdout), "done\n");
    handle.kill();
    hog.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_sandbox_that_computes_holds_up_no_timer_of_its_thread() {
    let hog = program("while True: pass").build().unwrap();
    let handle = hog.handle();
    let hog = tokio::spawn(hog.run());
    tokio::time::sleep(Duration::from_millis(300)).await;
    let begun = Instant::now();
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    // 6 s when tokio looked at its timers once in 61 slices.
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    handle.kill();
    hog.await.unwrap().unwrap();
}

#[tokio::test]
async fn dropping_the_future_leaves_no_stack_behind() {
    let code = "import threading, time
for _ in range(500): threading.Thread(target=time.sleep, args=(3600,)).start()
time.sleep(3600)";
    for _ in 0..3 {
        let run = program(code).build().unwrap().run();
        assert!(
            tokio::time::timeout(Duration::from_millis(500), run)
                .await
                .is_err()
        );
    }
    // The arena hands the same stacks out again: all this fits where it would not otherwise.
    let report = run(&mut program("print('fine')")).await;
    assert_eq!(text(&report.stdout), "fine\n");
}

#[tokio::test]
async fn a_hundred_sandboxes_at_once_stay_apart() {
    let runs: Vec<_> = (0..100)
        .map(|i| {
            let code = format!("import threading, time\nx = {i}\nt = threading.Thread(target=time.sleep, args=(0.05,))\nt.start(); t.join(); print(x)");
            tokio::spawn(program(&code).build().unwrap().run())
        })
        .collect();
    for (i, run) in runs.into_iter().enumerate() {
        assert_eq!(text(&run.await.unwrap().unwrap().stdout), format!("{i}\n"));
    }
}

#[tokio::test]
async fn nothing_is_permitted_by_default() {
    let code = "import os
print(dict(os.environ))
for path in ['/etc/passwd', '/usr/lib/../../etc/passwd', '../etc/passwd']:
    try: open(path)
    except OSError as error: print(type(error).__name__)
try: open('/usr/lib/x', 'w')
except OSError as error: print(type(error).__name__)";
    let report = run(&mut program(code)).await;
    let out = text(&report.stdout);
    assert!(out.starts_with("{}\n"), "{out}");
    assert_eq!(out.lines().count(), 5, "{out} {}", text(&report.stderr));
}

#[tokio::test]
async fn captured_output_counts_for_the_limit_of_memory() {
    let mut builder = program("while True: print('x' * 10_000)");
    builder.limits(limits(|limits| limits.memory = 32 << 20));
    let report = run(&mut builder).await;
    assert_eq!(report.outcome, Outcome::LimitHit(Limit::Memory));
    assert!(report.stdout.len() < 32 << 20, "{}", report.stdout.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn usage_is_readable_while_it_is_used() {
    let code = "import threading
print('started', flush=True)
threading.Thread(target=lambda: None).start()
while True: pass";
    let sandbox = program(code).build().unwrap();
    let handle = sandbox.handle();
    let running = tokio::spawn(sandbox.run());
    let begun = Instant::now();
    let usage = loop {
        let usage = handle.usage();
        if usage.threads == 2 && usage.cpu_time > Duration::from_millis(200) {
            break usage;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "{usage:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert_eq!(usage.output, 8);
    assert!(usage.peak_memory > 1 << 20, "{usage:?}");
    handle.kill();
    assert_eq!(running.await.unwrap().unwrap().outcome, Outcome::Killed);
}

/// What a run may do when somebody ends it, and what it prints once it does so.
const ENDED: [&str; 3] = [
    "print('ready', flush=True)\nwhile True: pass",
    "import time\nprint('ready', flush=True)\ntime.sleep(3600)",
    "import threading, time
for _ in range(10_000): threading.Thread(target=time.sleep, args=(3600,)).start()
print('ready', flush=True)",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_over_some_ms_after_its_kill_or_its_drop() {
    for code in ENDED {
        for by_kill in [true, false] {
            let mut times = Vec::new();
            for _ in 0..5 {
                let sandbox = program(code).build().unwrap();
                let handle = sandbox.handle();
                let running = tokio::spawn(sandbox.run());
                while handle.usage().output == 0 {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                let begun = Instant::now();
                if by_kill {
                    handle.kill();
                    assert_eq!(running.await.unwrap().unwrap().outcome, Outcome::Killed);
                } else {
                    running.abort();
                    assert!(running.await.is_err());
                }
                times.push(begun.elapsed());
            }
            times.sort();
            // 10 ms on an idle machine; tests run beside each other.
            assert!(times[2] < Duration::from_millis(100), "{code}: {times:?}");
        }
    }
}

#[tokio::test]
async fn a_timeline_tells_what_each_thread_did_and_when() {
    let code = "import threading, time
lock = threading.Lock()
def work():
    with lock: pass
thread = threading.Thread(target=work)
with lock:
    thread.start()
    time.sleep(0.3)
thread.join()";
    let report = run(&mut program(code)).await;
    assert_eq!(report.timeline, None);
    let report = run(program(code).record_timeline(10_000)).await;
    assert_eq!(report.outcome, Outcome::Exited(0), "{}", text(&report.stderr));
    let timeline = report.timeline.unwrap();
    let numbers = timeline.threads.iter().map(|thread| thread.number);
    assert_eq!((numbers.collect::<Vec<_>>(), timeline.dropped), (vec![0, 1], 0));
    assert!(u128::from(timeline.end) <= report.usage.wall_time.as_micros());
    let longest = |thread: usize, activity: Activity| {
        let spans = timeline.threads[thread].spans.iter();
        let of_it = spans.filter(|span| span.activity == activity);
        of_it.max_by_key(|span| span.end - span.begin).copied()
    };
    let took = |span: Span| span.end - span.begin;
    assert!(
        took(longest(0, Activity::Sleeping).unwrap()) >= 290_000,
        "{timeline:?}"
    );
    let waited = longest(1, Activity::Lock).unwrap();
    assert!(
        took(waited) >= 100_000 && waited.subject.is_some(),
        "{timeline:?}"
    );
    let running = timeline.threads.iter().flat_map(|thread| &thread.spans);
    let running = running.filter(|span| span.activity == Activity::Running);
    let mut running = running.collect::<Vec<_>>();
    running.sort_by_key(|span| (span.begin, span.end));
    assert!(
        running.windows(2).all(|pair| pair[0].end <= pair[1].begin),
        "{running:?}"
    );
}

#[tokio::test]
async fn a_timeline_is_no_longer_than_was_asked_for_and_there_when_a_limit_ends_the_run() {
    let code = "import time
while True: time.sleep(0.001)";
    let brief = limits(|limits| limits.wall_time = Some(Duration::from_millis(900)));
    let report = run(program(code).limits(brief).record_timeline(50)).await;
    assert_eq!(report.outcome, Outcome::LimitHit(Limit::WallTime));
    let timeline = report.timeline.unwrap();
    let spans = &timeline.threads[0].spans;
    assert!(
        timeline.threads.len() == 1 && (40..=50).contains(&spans.len()),
        "{spans:?}"
    );
    assert!(timeline.dropped > 50 && timeline.end < 900_000, "{timeline:?}");
    assert_eq!(spans.last().unwrap().end, timeline.end);
}
