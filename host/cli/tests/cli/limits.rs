//! Limits end a run with code 124 and name their flag; deadlocks end with 123.

use insta::assert_snapshot;

use crate::{run, run_code};

#[test]
fn a_loop_ends_at_the_timeout() {
    assert_snapshot!(run_code(&["--timeout", "300ms"], "while True: pass").shown(""), @r#"
    error: the program was ended: it reached its limit of 300ms of wall time
    hint: allow it more with --timeout
    [exit status: 124]
    "#);
}

#[test]
fn a_loop_ends_when_its_processor_time_is_used_up() {
    assert_snapshot!(run_code(&["--cpu-time", "300ms"], "while True: pass").shown(""), @r#"
    error: the program was ended: it reached its limit of 300ms of CPU time
    hint: allow it more with --cpu-time
    [exit status: 124]
    "#);
}

#[test]
fn too_little_memory_for_python_itself_is_said() {
    assert_snapshot!(run_code(&["--memory", "1MiB"], "").shown(""), @r#"
    error: the program was ended: it reached its limit of 1 MiB of memory
    hint: allow it more with --memory
    [exit status: 124]
    "#);
}

#[test]
fn a_recursion_that_cpython_does_not_count_is_a_recursion_error() {
    let code = "
it = iter([1])
for _ in range(200_000): it = map(int, it)
try: next(it)
except RecursionError as error: print(error)";
    assert_eq!(
        run_code(&[], code).printed(),
        "maximum recursion depth exceeded in an iterator\n"
    );
}

#[test]
fn greedy_philosophers_are_told_where_each_of_them_waits() {
    let script = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../examples/dining_philosophers.py"
    );
    let run = run([script, "--greedy"]);
    assert_eq!((run.code(), run.stdout.as_str()), (123, ""), "{}", run.stderr);
    assert_eq!(run.stderr.matches(" in dine\n").count(), 5, "{}", run.stderr);
    assert!(run.stderr.contains("error: deadlock"), "{}", run.stderr);
}

#[test]
fn code_that_never_returns_to_python_ends_too() {
    for code in [
        "sum(range(10**12))",
        "10**10**8",
        "import re; re.match('(a*)*b', 'a' * 40)",
        "all(iter(lambda: 1, 0))",
        "try:\n while True:\n  try: x = 1\n  except: pass\nfinally: pass",
        "while True:\n try:\n  while True: pass\n except BaseException: pass",
    ] {
        assert_eq!(
            run_code(&["--timeout", "300ms", "--memory", "512MiB"], code).code(),
            124,
            "{code}"
        );
    }
}

#[test]
fn a_sleeper_ends_at_the_timeout_and_uses_no_processor_time() {
    assert_eq!(
        run_code(&["--timeout", "300ms"], "import time; time.sleep(1000)").code(),
        124
    );
    let slept = run_code(
        &["--cpu-time", "900ms"],
        "import time; time.sleep(1); print('slept')",
    );
    assert_eq!(slept.printed(), "slept\n");
}

#[test]
fn every_thread_ends_at_a_limit() {
    let code = "
import threading, time
for body in (lambda: time.sleep(1000), lambda: [0 for _ in iter(int, 1)], threading.Lock().acquire):
    for _ in range(20):
        threading.Thread(target=body).start()
";
    assert_eq!(run_code(&["--timeout", "500ms"], code).code(), 124);
}

#[test]
fn output_beyond_the_limit_ends_the_run() {
    let run = run_code(&["--max-output", "100kB"], "while True: print('x' * 999)");
    assert_eq!(run.code(), 124, "{}", run.stderr);
    assert!(run.stdout.len() <= 100_000, "{} bytes came out", run.stdout.len());
    assert!(
        run.stdout.len() >= 90_000,
        "only {} bytes came out",
        run.stdout.len()
    );
    assert_snapshot!(run.stderr, @r#"
    error: the program was ended: it reached its limit of 100 kB of output
    hint: allow it more with --max-output
    "#);
}

#[test]
fn stderr_counts_as_output() {
    let run = run_code(
        &["--max-output", "10kB"],
        "import sys\nwhile True: print('x' * 99, file=sys.stderr)",
    );
    assert_eq!(run.code(), 124);
}

#[test]
fn a_deadlock_ends_with_every_threads_stack() {
    let code = "
import threading
a, b = threading.Lock(), threading.Lock()
meet = threading.Barrier(2)
def philosopher(first, second):
    with first:
        meet.wait()
        with second:
            pass
for name, locks in (('Plato', (a, b)), ('Kant', (b, a))):
    threading.Thread(target=philosopher, args=locks, name=name).start()
";
    let run = run_code(&[], code);
    assert_eq!(run.code(), 123, "{}", run.shown(""));
    assert!(
        run.stderr.matches("in philosopher").count() >= 2,
        "{}",
        run.stderr
    );
    assert!(run.stderr.contains("error: deadlock"), "{}", run.stderr);
}

#[test]
fn waiting_for_oneself_is_a_deadlock() {
    for code in [
        "import threading; lock = threading.Lock(); lock.acquire(); lock.acquire()",
        "import queue; queue.Queue().get()",
        "import threading; threading.Event().wait()",
        "import threading; t = threading.Thread(target=threading.Event().wait); t.start()",
    ] {
        assert_eq!(run_code(&[], code).code(), 123, "{code}");
    }
}

#[test]
fn a_thread_that_sleeps_is_no_deadlock() {
    let code = "
import threading
event = threading.Event()
threading.Timer(0.1, event.set).start()
print(event.wait())
";
    assert_eq!(run_code(&[], code).printed(), "True\n");
}

#[test]
fn what_is_written_and_what_is_open_end_at_their_limits() {
    let folder = tempfile::tempdir().unwrap();
    let write = format!("--allow-write={}::/data", folder.path().display());
    let code = "open('/data/x', 'w').write('x' * 100_000)";
    let run = run_code(&["--max-written", "50kB", &write], code);
    assert!(
        run.stderr.ends_with(
            "OSError: [Errno 19] Quota exceeded\n\
             note: the program reached its limit of bytes written to files, 50 kB; --max-written allows it more\n"
        ),
        "{}",
        run.stderr
    );
    let code = "import os\nwhile True: os.pipe()";
    let run = run_code(&["--max-descriptors", "20"], code);
    let told = "OSError: [Errno 33] No file descriptors available\n\
                note: the program reached its limit of descriptors, 20; --max-descriptors allows it more\n";
    assert!(run.stderr.ends_with(told), "{}", run.stderr);
}

#[test]
fn a_limit_that_is_not_reached_changes_nothing() {
    let flags = [
        "--timeout",
        "50s",
        "--cpu-time",
        "50s",
        "--memory",
        "256MiB",
        "--max-output",
        "1MB",
        "--max-threads",
        "5",
        "--max-written",
        "1MB",
        "--max-descriptors",
        "20",
    ];
    assert_eq!(run_code(&flags, "print('done')").printed(), "done\n");
}
