//! What can go wrong in the host. What the guest did wrong is an [`Outcome`](crate::Outcome).

use crate::outcome::Outcome;
use crate::session::PythonError;
use crate::value::NoConversion;
use std::path::PathBuf;

/// The host could not do its part.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// wasmtime refused its configuration, or the kernel a thread or memory.
    #[error("cannot start the engine")]
    Engine(#[source] wasmtime::Error),
    /// There is no Python to run.
    #[error("no Python artifact: {0}")]
    NoArtifact(String),
    /// The artifact is there, but it is no component, or one for another release of vtwasm.
    #[error("the Python artifact ({origin}) cannot be used")]
    BadArtifact {
        /// Its folder, or where else it comes from.
        origin: String,
        /// What is wrong with it.
        #[source]
        source: wasmtime::Error,
    },
    /// Neither `VTWASM_CACHE` nor `HOME` is set.
    #[error("there is no cache folder: neither VTWASM_CACHE nor HOME is set")]
    NoCache,
    /// A file or folder of the cache cannot be made, read or written.
    #[error("cannot {action} {path}")]
    Cache {
        /// What was being done.
        action: &'static str,
        /// To what.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
    /// A folder cannot be mounted.
    #[error("cannot mount {path}")]
    Mount {
        /// The host's folder.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: wasmtime::Error,
    },
    /// A file that was given as bytes cannot be shown.
    #[error("cannot show {path:?} as a file: {problem}")]
    File {
        /// Where the program was to find it.
        path: String,
        /// Why not.
        problem: String,
    },
    /// The code that a [`Snapshot`](crate::Snapshot) was to be made of did not come to a good end, or left
    /// what cannot be kept: threads, files, sockets.
    #[error("no snapshot was made: {}", why(.outcome, .stderr))]
    NoSnapshot {
        /// How it ended.
        outcome: Outcome,
        /// What it said, if that was captured.
        stderr: String,
    },
    /// A file is no snapshot, or none for this Python.
    #[error("{path} cannot be used as a snapshot: {problem}")]
    BadSnapshot {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A sandbox cannot be made with a [`Snapshot`](crate::Snapshot) as it was asked for.
    #[error("cannot use the snapshot: {0}")]
    Snapshot(String),
    /// A snapshot cannot be written.
    #[error("cannot write {path}")]
    Save {
        /// The file.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
    /// A host function's module or name is no identifier of ASCII letters, digits and underscores.
    #[error("{0:?} cannot be the name of a host function: module and name are ASCII identifiers")]
    HostFunction(String),
    /// What was given to a [`Network`](crate::Network) is no rule.
    #[error("{rule:?} is no rule for the network: {problem}")]
    Rule {
        /// What was given.
        rule: String,
        /// What is wrong with it, and what was expected.
        problem: String,
    },
    /// A stream of the sandbox cannot be set up.
    #[error("cannot set up the sandbox's {stream}")]
    Stream {
        /// stdin, stdout or stderr.
        stream: &'static str,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
    /// A [`Session`](crate::Session)'s call raised an exception.
    #[error("{0}")]
    Python(PythonError),
    /// The [`Session`](crate::Session) was over before the call was; its report tells why.
    #[error("the session is over")]
    SessionOver,
    /// A value cannot be sent to Python.
    #[error("cannot send the arguments: {0}")]
    Value(NoConversion),
    /// The sandbox could not be made or its run could not go on, through no fault of the guest.
    #[error("cannot run the sandbox")]
    Run(#[source] wasmtime::Error),
}

fn why(outcome: &Outcome, stderr: &str) -> String {
    match (outcome, stderr.trim_end().lines().last()) {
        (_, Some(line)) => line.to_owned(),
        (Outcome::Exited(code), None) => format!("its code ended with exit code {code}"),
        (other, None) => format!("its code was ended: {other:?}"),
    }
}

/// The library's results.
pub type Result<T, E = Error> = std::result::Result<T, E>;
