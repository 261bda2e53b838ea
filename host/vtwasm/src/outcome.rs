//! How a run ended, and what it used.

use crate::timeline::Timeline;
use std::fmt;
use std::time::Duration;

/// How a run ended. Reaching a limit is a result, not an error.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// The program came to its end, with this exit code.
    Exited(u32),
    /// It reached a limit that ends a run.
    LimitHit(Limit),
    /// Somebody killed it by its [`Handle`](crate::Handle).
    Killed,
    /// Every thread waited for another one. Their stacks are on the sandbox's stderr.
    Deadlocked,
    /// The guest broke down: it aborted (with a message on its stderr) or wasm trapped.
    Trapped(String),
}

/// A limit of [`Limits`](crate::Limits). Some end a run; the others are exceptions in Python, and
/// [`Report::reached`] has them, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Limit {
    /// [`Limits::cpu_time`](crate::Limits::cpu_time).
    CpuTime,
    /// [`Limits::wall_time`](crate::Limits::wall_time).
    WallTime,
    /// [`Limits::output`](crate::Limits::output).
    Output,
    /// [`Limits::memory`](crate::Limits::memory). It ends a run where that was not even enough for Python to
    /// start, for what it captured, or for how deep its threads have recursed.
    Memory,
    /// [`Limits::threads`](crate::Limits::threads).
    Threads,
    /// [`Limits::descriptors`](crate::Limits::descriptors).
    Descriptors,
    /// [`Limits::sockets`](crate::Limits::sockets).
    Sockets,
    /// [`Limits::written`](crate::Limits::written).
    Written,
}

impl Limit {
    pub(crate) const ALL: [Limit; 8] = [
        Limit::CpuTime,
        Limit::WallTime,
        Limit::Output,
        Limit::Memory,
        Limit::Threads,
        Limit::Descriptors,
        Limit::Sockets,
        Limit::Written,
    ];
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Limit::CpuTime => "CPU time",
            Limit::WallTime => "wall time",
            Limit::Output => "output",
            Limit::Memory => "memory",
            Limit::Threads => "threads",
            Limit::Descriptors => "descriptors",
            Limit::Sockets => "sockets",
            Limit::Written => "bytes written to files",
        })
    }
}

/// What a run used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Usage {
    /// CPU time of the host thread while it ran this sandbox.
    pub cpu_time: Duration,
    /// From the start to the end.
    pub wall_time: Duration,
    /// The largest size of the linear memory, in bytes.
    pub peak_memory: u64,
    /// Threads started, the main one included.
    pub threads: u64,
    /// Times that a fiber was switched to.
    pub switches: u64,
    /// Bytes read from stdin.
    pub input: u64,
    /// Bytes written to stdout and stderr.
    pub output: u64,
    /// Bytes written to files, with what truncating added to them.
    pub written: u64,
    /// The most sockets (with look-ups and pollers) open at once.
    pub peak_sockets: u64,
    /// Bytes received from the network.
    pub received: u64,
    /// Bytes sent to the network.
    pub sent: u64,
}

/// A finished run.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Report {
    /// How it ended.
    pub outcome: Outcome,
    /// The limits that it reached, also those that Python raises an exception for and that it may have gone on
    /// after.
    pub reached: Vec<Limit>,
    /// What it used.
    pub usage: Usage,
    /// What was written to stdout, if it was [captured](crate::Output::Capture).
    pub stdout: Vec<u8>,
    /// What was written to stderr, if it was [captured](crate::Output::Capture).
    pub stderr: Vec<u8>,
    /// What its threads did, if that was [recorded](crate::Builder::record_timeline).
    pub timeline: Option<Timeline>,
}

/// Ends a run from inside a host function; wasmtime carries it out.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the run ends: {0:?}")]
pub(crate) struct Stop(pub(crate) Outcome);
