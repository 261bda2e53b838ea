//! Failures that people see: what was being done, to what, and what to do next.

use std::fmt;
use std::io::{self, IsTerminal};

/// The exit codes that are vtwasm's own. They keep clear of Python's (0, 1, 2, 120), the shell's
/// (126, 127) and the signals' (128 + n); 124 and 125 are what timeout(1) means by them.
pub mod exit {
    /// The command line or the script cannot be used (clap and Python say 2 as well).
    pub const USAGE: u8 = 2;
    /// The packages that the program needs cannot be had.
    pub const PACKAGES: u8 = 121;
    /// Python itself crashed inside the sandbox.
    pub const TRAP: u8 = 122;
    /// Every thread waited for another.
    pub const DEADLOCK: u8 = 123;
    /// A limit was hit.
    pub const LIMIT: u8 = 124;
    /// vtwasm itself failed.
    pub const HOST: u8 = 125;
}

/// An error whose exit code and hint are known where it is made. Every other error is
/// [`exit::HOST`].
#[derive(Debug)]
pub struct Failure {
    code: u8,
    message: String,
    hint: Option<String>,
}

impl Failure {
    /// The user asked for something that cannot be.
    pub fn usage(message: impl Into<String>) -> Failure {
        Failure {
            code: exit::USAGE,
            message: message.into(),
            hint: None,
        }
    }

    /// A package cannot be had, or cannot run here.
    pub fn packages(message: impl Into<String>) -> Failure {
        Failure {
            code: exit::PACKAGES,
            message: message.into(),
            hint: None,
        }
    }

    /// vtwasm cannot do what it should.
    pub fn host(message: impl Into<String>) -> Failure {
        Failure {
            code: exit::HOST,
            message: message.into(),
            hint: None,
        }
    }

    /// Adds what to do next.
    pub fn hint(mut self, hint: impl Into<String>) -> Failure {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// Tells the user about `error` and gives the exit code that goes with it.
pub fn report(error: &anyhow::Error) -> u8 {
    let failure = error.downcast_ref::<Failure>();
    say("error", &format!("{error:#}"));
    let hint = failure
        .and_then(|failure| failure.hint.clone())
        .or_else(|| library_hint(error));
    if let Some(hint) = hint {
        say("hint", &hint);
    }
    failure.map_or(exit::HOST, |failure| failure.code)
}

/// One line of talk on stderr. A closed stderr is nobody's problem.
pub fn say(kind: &str, message: &str) {
    use io::Write;
    let _ = writeln!(io::stderr(), "{kind}: {}", visible(message));
}

/// What is quoted (a script's metadata, a file of somebody else's) may be meant for the terminal.
fn visible(message: &str) -> String {
    let is_plain = |c: &char| !c.is_control() || matches!(c, '\n' | '\t');
    let mut text = String::with_capacity(message.len());
    for c in message.chars() {
        match is_plain(&c) {
            true => text.push(c),
            false => text.extend(c.escape_default()),
        }
    }
    text
}

/// Tells a person at a terminal what takes time.
pub fn progress(text: &str) {
    if io::stderr().is_terminal() {
        say("vtwasm", text);
    }
}

/// What helps against errors of the library, which does not know of this program.
fn library_hint(error: &anyhow::Error) -> Option<String> {
    let advice = match error.chain().find_map(|cause| cause.downcast_ref())? {
        vtwasm::Error::Cache { source, .. } => match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                "free some space, or point VTWASM_CACHE to a folder on another disk"
            }
            _ => "point VTWASM_CACHE to a folder that you can write to",
        },
        vtwasm::Error::NoArtifact(_) | vtwasm::Error::BadArtifact { .. } => {
            "build Python for this version of vtwasm with `cargo xtask python`"
        }
        vtwasm::Error::NoCache => "set VTWASM_CACHE to a folder that you can write to",
        _ => return None,
    };
    Some(advice.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_message_quotes_does_not_speak_to_the_terminal() {
        let quoted = "cannot find \x1b]0;title\x07\x1b[2J\r\u{9b}31m\u{7f}naïve\n\tit";
        assert_eq!(
            visible(quoted),
            "cannot find \\u{1b}]0;title\\u{7}\\u{1b}[2J\\r\\u{9b}31m\\u{7f}naïve\n\tit"
        );
    }

    #[test]
    fn a_full_disk_is_told_from_a_folder_that_is_closed() {
        let hint = |kind: io::ErrorKind| {
            let error = vtwasm::Error::Cache {
                action: "write",
                path: "/cache".into(),
                source: kind.into(),
            };
            library_hint(&anyhow::Error::new(error).context("preparing Python")).unwrap()
        };
        assert!(hint(io::ErrorKind::StorageFull).contains("free some space"));
        assert!(!hint(io::ErrorKind::PermissionDenied).contains("free some space"));
    }
}
