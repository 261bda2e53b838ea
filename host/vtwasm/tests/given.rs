//! What an embedder gives: files as bytes, and streams.

mod common;

use common::{program, python, run, text};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use vtwasm::{Access, Error, Input, Outcome, Output, Sandbox};

#[tokio::test]
async fn files_given_as_bytes_can_be_run_imported_and_read_but_not_changed() {
    let main = "
import errno, os, helper
print(helper.NAME, open('/app/data/words').read(), sorted(os.listdir('/app')))
for change in [lambda: open('/app/data/words', 'w'), lambda: os.remove('/app/main.py'),
               lambda: os.mkdir('/app/new'), lambda: open('/app/../etc/passwd'), lambda: os.listdir('/')]:
    try: change()
    except OSError as error: print(errno.errorcode[error.errno])";
    let mut builder = Sandbox::builder(python());
    builder
        .args(["python3", "-B", "/app/main.py"])
        .stdout(Output::Capture)
        .stderr(Output::Capture);
    for (path, bytes) in [
        ("/app/main.py", main),
        ("/app/helper.py", "NAME = 'old'"),
        ("/app/data/words", "some words"),
        ("/app/helper.py", "NAME = 'helper'"),
    ] {
        builder.file(path, bytes).unwrap();
    }
    let report = run(&mut builder).await;
    let expected = "helper some words ['data', 'helper.py', 'main.py']\nEPERM\nEPERM\nEPERM\n";
    assert!(text(&report.stdout).starts_with(expected), "{report:?}");
    assert_eq!(text(&report.stdout).lines().count(), 6, "{report:?}");
}

#[test]
fn a_file_that_cannot_be_shown_is_named() {
    let mut builder = Sandbox::builder(python());
    for path in ["relative", "/", "/a/../b", "/folder/"] {
        let error = builder.file(path, b"").err();
        assert!(
            matches!(&error, Some(Error::File { path: named, .. }) if named == path),
            "{error:?}"
        );
    }
    let folder = tempfile::tempdir().unwrap();
    builder.mount(&folder, "/data", Access::Read).unwrap();
    builder.file("/data/file", b"").unwrap();
    let error = builder.build().err().unwrap();
    assert!(error.to_string().contains("/data"), "{error}");
}

#[tokio::test]
async fn asynchronous_streams_are_read_and_written_while_the_program_runs() {
    let code = "
import sys
for line in sys.stdin:
    print(line.strip().upper(), flush=True)
print('end', file=sys.stderr)";
    let (mut to, stdin) = duplex(64);
    let (stdout, mut from) = duplex(64);
    let mut builder = program(code);
    builder
        .stdin(Input::AsyncReader(Box::pin(stdin)))
        .stdout(Output::AsyncWriter(Box::pin(stdout)));
    let talk = async {
        for n in 0..100 {
            to.write_all(format!("line {n}\n").as_bytes()).await.unwrap();
            let mut line = vec![0; format!("LINE {n}\n").len()];
            from.read_exact(&mut line).await.unwrap();
            assert_eq!(text(&line), format!("LINE {n}\n"));
        }
        drop(to);
        let mut rest = Vec::new();
        from.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest, b"");
    };
    let (report, ()) = tokio::join!(run(&mut builder), talk);
    assert_eq!(
        (report.outcome, text(&report.stderr)),
        (Outcome::Exited(0), "end\n")
    );
    assert_eq!((report.usage.input, report.usage.output), (790, 794));
}

#[tokio::test]
async fn a_slow_reader_holds_up_only_the_thread_that_writes() {
    let code = "
import sys, threading, time
def write(): sys.stdout.write('x' * 1_000_000)
writer = threading.Thread(target=write)
writer.start()
for n in range(20): time.sleep(0.001)
print('ticked', writer.is_alive(), file=sys.stderr, flush=True)
writer.join()";
    let (stdout, mut from) = duplex(1000);
    let (stderr, mut words) = duplex(1000);
    let mut builder = program(code);
    builder
        .stdout(Output::AsyncWriter(Box::pin(stdout)))
        .stderr(Output::AsyncWriter(Box::pin(stderr)));
    let read = async {
        let mut ticked = [0; 12];
        words.read_exact(&mut ticked).await.unwrap();
        assert_eq!(text(&ticked), "ticked True\n");
        let mut all = Vec::new();
        from.read_to_end(&mut all).await.unwrap();
        assert_eq!(all.len(), 1_000_000);
    };
    let (report, ()) = tokio::join!(run(&mut builder), read);
    assert_eq!(report.outcome, Outcome::Exited(0), "{report:?}");
}

#[tokio::test]
async fn a_stream_that_nobody_serves_any_more_is_an_error_or_the_end() {
    // Nobody reads.
    let (stdout, from) = duplex(1000);
    drop(from);
    let code = "
import os, sys, time
try:
    while True: os.write(1, b'x' * 1000); time.sleep(0)
except OSError as error: print(repr(error), file=sys.stderr)";
    let report = run(program(code).stdout(Output::AsyncWriter(Box::pin(stdout)))).await;
    assert!(text(&report.stderr).starts_with("BrokenPipeError"), "{report:?}");

    struct Panics;
    impl std::io::Read for Panics {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            panic!("as a test wants it")
        }
    }
    let code = "
import sys
try: sys.stdin.read()
except OSError as error: print(repr(error))";
    let report = run(program(code).stdin(Input::Reader(Box::new(Panics)))).await;
    assert!(text(&report.stdout).starts_with("OSError"), "{report:?}");
}

#[tokio::test]
async fn a_run_that_ends_does_not_wait_for_input_and_lets_its_streams_go() {
    let (mut to, stdin) = duplex(64);
    let code = "
import sys, threading
threading.Thread(target=sys.stdin.read, daemon=True).start()
print('over', flush=True)
import os; os._exit(0)";
    let report = run(program(code).stdin(Input::AsyncReader(Box::pin(stdin)))).await;
    assert_eq!(text(&report.stdout), "over\n");
    let closed = async {
        while to.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), closed)
        .await
        .unwrap();
}
