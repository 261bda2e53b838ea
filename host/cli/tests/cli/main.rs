//! The command line, from outside: what it refuses, what it allows, how it ends.

#[path = "../support/mod.rs"]
mod support;

mod bad_input;
mod limits;
mod network;
mod permissions;
mod repl;
mod running;
mod session;
mod signals;
mod snapshot;
mod streams;
mod wheels;

use std::ffi::OsStr;
use std::process::Command;
use std::time::Duration;

use support::{Finished, finish, vtwasm};

/// Generous: it ends a test that hangs, and is no measure of anything.
const LIMIT: Duration = Duration::from_secs(60);

/// Runs `vtwasm run ARGS…` to its end, with nothing on stdin.
fn run<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Finished {
    end(vtwasm().arg("run").args(args))
}

/// Runs some Python code to its end.
fn run_code(flags: &[&str], code: &str) -> Finished {
    run(flags.iter().chain(&["-c", code]))
}

fn end(command: &mut Command) -> Finished {
    finish(command, b"", LIMIT).unwrap_or_else(|error| panic!("{error}"))
}

impl Finished {
    /// All that a user sees, for snapshots. `folder` becomes `[FOLDER]`.
    fn shown(&self, folder: &str) -> String {
        let text = format!("{}{}[{}]", self.stdout, self.stderr, self.status);
        if folder.is_empty() {
            text
        } else {
            text.replace(folder, "[FOLDER]")
        }
    }

    fn code(&self) -> i32 {
        self.status
            .code()
            .unwrap_or_else(|| panic!("ended by a signal: {}", self.shown("")))
    }

    /// Asserts that the program ended well and gives what it printed.
    fn printed(&self) -> &str {
        assert_eq!(self.code(), 0, "{}", self.shown(""));
        &self.stdout
    }
}
