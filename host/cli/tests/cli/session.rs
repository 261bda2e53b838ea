//! A running `vtwasm` that a test talks to.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use crate::LIMIT;
use crate::support::signal;

/// A child whose stdout is read line by line.
pub struct Session {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    stderr: Receiver<String>,
}

impl Session {
    /// Starts `vtwasm run -u -c CODE`, with these flags before.
    pub fn start(flags: &[&str], code: &str) -> Session {
        let mut command = crate::vtwasm();
        command.arg("run").args(flags).args(["-u", "-c", code]);
        Session::spawn(&mut command)
    }

    /// Starts any command.
    pub fn spawn(command: &mut Command) -> Session {
        let piped = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = piped.spawn().expect("vtwasm starts");
        let stdout = BufReader::new(child.stdout.take().expect("it is piped"));
        let (line, lines) = channel();
        thread::spawn(move || {
            stdout
                .lines()
                .map_while(Result::ok)
                .try_for_each(|text| line.send(text))
        });
        let mut errors = child.stderr.take().expect("it is piped");
        let (all, stderr) = channel();
        thread::spawn(move || {
            let mut text = String::new();
            let _ = errors.read_to_string(&mut text);
            all.send(text)
        });
        Session {
            stdin: child.stdin.take(),
            child,
            lines,
            stderr,
        }
    }

    /// Waits for the next line of stdout, which must be this one.
    pub fn expect(&self, line: &str) {
        match self.lines.recv_timeout(LIMIT) {
            Ok(found) => assert_eq!(found, line),
            Err(_) => panic!(
                "{line:?} never came; stderr: {}",
                self.stderr.try_recv().unwrap_or_default()
            ),
        }
    }

    /// Whether anything was printed that nobody has looked at.
    pub fn is_silent(&self) -> bool {
        self.lines.try_recv().is_err()
    }

    /// Types a line.
    pub fn type_line(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().expect("stdin is open");
        writeln!(stdin, "{line}").expect("the child reads");
    }

    /// Closes its stdin.
    pub fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// Sends a signal, such as `INT`.
    pub fn signal(&self, name: &str) {
        signal(self.child.id(), name);
    }

    /// Waits for its end; its exit code and stderr.
    pub fn end(mut self) -> (i32, String) {
        let Ok(stderr) = self.stderr.recv_timeout(LIMIT) else {
            self.signal("KILL");
            panic!("vtwasm did not end");
        };
        let status = self.child.wait().expect("it is our child");
        (
            status.code().unwrap_or_else(|| panic!("{status}: {stderr}")),
            stderr,
        )
    }
}
