//! Runs processes that must come to an end.

use std::io::{Read, Write};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// A process that has ended.
pub struct Finished {
    /// What it wrote to stdout.
    pub stdout: String,
    /// What it wrote to stderr.
    pub stderr: String,
    /// How it ended.
    pub status: ExitStatus,
}

/// The `vtwasm` that was built for this test.
pub fn vtwasm() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vtwasm"));
    command.env_remove("NO_COLOR").env("TERM", "dumb");
    command
}

/// Runs `command` to its end with `stdin` as its input.
///
/// # Errors
/// If it cannot be started or does not end within `limit`; it is killed then.
pub fn finish(command: &mut Command, stdin: &[u8], limit: Duration) -> Result<Finished, String> {
    let piped = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = piped
        .spawn()
        .map_err(|error| format!("starting {command:?}: {error}"))?;
    let (mut input, stdin) = (child.stdin.take().expect("it is piped"), stdin.to_owned());
    // A program need not read its input, so that a failed write is no failure.
    thread::spawn(move || drop(input.write_all(&stdin)));
    let stdout = collect(child.stdout.take().expect("it is piped"));
    let stderr = collect(child.stderr.take().expect("it is piped"));
    let (sender, ended) = mpsc::channel();
    let pid = child.id();
    thread::spawn(move || sender.send(child.wait()));
    let late = ended.recv_timeout(limit);
    if late.is_err() {
        signal(pid, "KILL");
    }
    let text = |stream: mpsc::Receiver<Vec<u8>>| {
        let bytes = stream.recv_timeout(Duration::from_secs(10)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let (stdout, stderr) = (text(stdout), text(stderr));
    match late {
        Ok(Ok(status)) => Ok(Finished {
            stdout,
            stderr,
            status,
        }),
        Ok(Err(error)) => Err(format!("waiting for {command:?}: {error}")),
        Err(_) => Err(format!(
            "{command:?} did not end within {limit:?}\nstdout: {stdout}\nstderr: {stderr}"
        )),
    }
}

/// Sends a signal, such as `INT`. A crate for it would make wasmtime compile anew for the tests, as
/// features of the crates that both use are joined; the program `kill` is missing on a bare Debian, the
/// shell's own is not.
pub fn signal(pid: u32, name: &str) {
    let sent = Command::new("sh")
        .args(["-c", r#"kill -s "$0" "$1""#, name, &pid.to_string()])
        .status();
    assert!(sent.is_ok(), "sh cannot be run");
}

/// Reads a stream to its end, beside the test.
fn collect(mut stream: impl Read + Send + 'static) -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes);
        sender.send(bytes)
    });
    receiver
}
