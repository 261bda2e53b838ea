//! stdin, stdout and stderr stream; who waits for one of them holds up nobody else.

use std::io::Read;
use std::process::Stdio;

use crate::session::Session;
use crate::support::{finish, signal};
use crate::{LIMIT, run_code, vtwasm};

#[test]
fn a_line_is_answered_before_the_next_is_typed() {
    let mut session = Session::start(
        &[],
        "for line in iter(input, 'end'): print(line.upper())\nprint('over')",
    );
    for (line, answer) in [("one", "ONE"), ("two", "TWO"), ("end", "over")] {
        session.type_line(line);
        session.expect(answer);
    }
    assert_eq!(session.end().0, 0);
}

#[test]
fn a_thread_that_waits_for_stdin_stops_nobody() {
    let code = "
import sys, threading, time
reader = threading.Thread(target=lambda: print('read', sys.stdin.readline().strip()))
reader.start()
for n in range(3):
    time.sleep(0.01)
    print('tick', n)
counter = sum(1 for _ in range(100_000))
print('counted', counter)
reader.join()
";
    let mut session = Session::start(&[], code);
    for line in ["tick 0", "tick 1", "tick 2", "counted 100000"] {
        session.expect(line);
    }
    session.type_line("hello");
    session.expect("read hello");
    assert_eq!(session.end().0, 0);
}

#[test]
fn the_end_of_stdin_is_the_end_of_input() {
    let mut session = Session::start(&[], "print('ready')\ntry: input()\nexcept EOFError: print('end')");
    session.expect("ready");
    session.close_stdin();
    session.expect("end");
    assert_eq!(session.end().0, 0);
}

#[test]
fn a_large_input_arrives_whole() {
    let input: Vec<u8> = (0..3_000_000u32).map(|n| (n % 251) as u8).collect();
    let code = "import sys, zlib; d = sys.stdin.buffer.read(); print(len(d), sum(d[:1000]))";
    let run = finish(vtwasm().args(["run", "-c", code]), &input, LIMIT).unwrap();
    let sum: u32 = input[..1000].iter().map(|byte| u32::from(*byte)).sum();
    assert_eq!(run.printed(), format!("3000000 {sum}\n"));
}

#[test]
fn a_large_output_arrives_whole() {
    let code = "
import threading
def talk(n):
    for i in range(1000): print(f'{n} {i} ' + 'x' * 100)
threads = [threading.Thread(target=talk, args=(n,)) for n in range(10)]
for t in threads: t.start()
for t in threads: t.join()
";
    let run = run_code(&[], code);
    assert_eq!(run.printed().lines().count(), 10_000);
    assert_eq!(run.stdout.len(), 10 * (10 * 105 + 90 * 106 + 900 * 107));
}

#[test]
fn a_slow_reader_of_stdout_blocks_only_who_writes() {
    let code = "
import sys, threading, time
def flood():
    for _ in range(100): sys.stdout.write('x' * 10_000 + '\\n')
writer = threading.Thread(target=flood)
writer.start()
for n in range(3):
    time.sleep(0.02)
    print('tick', n, file=sys.stderr, flush=True)
writer.join()
";
    let mut command = vtwasm();
    command
        .args(["run", "-u", "-c", code])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stderr = std::io::BufReader::new(child.stderr.take().unwrap());
    for n in 0..3 {
        let mut line = String::new();
        std::io::BufRead::read_line(&mut stderr, &mut line).unwrap();
        assert_eq!(line, format!("tick {n}\n"));
    }
    let mut stdout = Vec::new();
    child.stdout.take().unwrap().read_to_end(&mut stdout).unwrap();
    assert_eq!(stdout.len(), 100 * 10_001);
    assert!(child.wait().unwrap().success());
}

#[test]
fn stdout_that_is_closed_early_is_pythons_broken_pipe() {
    let mut command = vtwasm();
    let code = "while True: print('x' * 1000)";
    command
        .args(["run", "-c", code])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut first = [0; 10];
    let mut stdout = child.stdout.take().unwrap();
    stdout.read_exact(&mut first).unwrap();
    drop(stdout);
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert!(stderr.contains("BrokenPipeError"), "{stderr}");
    assert!(!stderr.contains("panicked"), "{stderr}");
    assert!(
        [1, 120].contains(&child.wait().unwrap().code().unwrap()),
        "{stderr}"
    );
}

#[test]
fn a_reader_of_help_may_close_early() {
    for args in [&["run", "--help"][..], &["doctor"]] {
        let mut command = vtwasm();
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        command
            .args(args)
            .stdin(Stdio::null())
            .stdout(writer)
            .stderr(Stdio::piped());
        let output = command.spawn().unwrap().wait_with_output().unwrap();
        assert!(
            !String::from_utf8_lossy(&output.stderr).contains("panicked"),
            "{args:?}"
        );
    }
}

#[test]
fn a_reader_that_stalls_does_not_hold_the_timeout_up() {
    let mut command = vtwasm();
    command.args(["run", "--timeout", "500ms", "-c", "while True: print('x' * 1000)"]);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // Nobody reads its stdout meanwhile.
    let stdout = child.stdout.take();
    let (sender, ended) = std::sync::mpsc::channel();
    let pid = child.id();
    std::thread::spawn(move || sender.send(child.wait()));
    let status = ended.recv_timeout(LIMIT);
    if status.is_err() {
        signal(pid, "KILL");
    }
    assert_eq!(status.expect("it ends").unwrap().code(), Some(124));
    drop(stdout);
}
