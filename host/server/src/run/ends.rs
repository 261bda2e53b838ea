//! How a job ends, in the words of the queue.

use super::{Said, Why};
use crate::error::Error;
use crate::job::Usage;
use crate::store::{End, Verdict};
use std::io;
use std::time::Duration;
use tokio::time::sleep;
use vtwasm::{Limit, Outcome, Report};

/// Before a job is given back whose files are somewhere that does not answer: it may be the next again.
const AWAY: Duration = Duration::from_secs(3);

/// How a job ends that cannot have what it needs; after a pause, if storage is away: the job may be the next again.
pub(crate) async fn without_files(error: Error) -> End {
    let is_stored = matches!(error, Error::Storage { .. });
    let end = without(error);
    if is_stored && end.verdict == Verdict::GivenBack {
        sleep(AWAY).await;
    }
    end
}

/// How a job ends that cannot have what it needs.
fn without(error: Error) -> End {
    let given_back = |why: &str| End {
        verdict: Verdict::GivenBack,
        ..failed(why.into())
    };
    match error {
        Error::Database(_) => given_back("what it needs could not be read from the database"),
        Error::Storage { source, .. } => {
            tracing::warn!(
                error = &source as &dyn std::error::Error,
                "a job has not its files"
            );
            match source.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::InvalidData => {
                    failed("a file that it is given is lost or damaged: put it again".into())
                }
                _ => given_back("its files could not be read"),
            }
        }
        Error::Io { .. } => failed(chain(&error)),
        error => failed(error.to_string()),
    }
}

pub(crate) fn end(report: &Report, said: Said, why: Option<Why>) -> End {
    End {
        usage: usage(&report.usage),
        ..ended(&report.outcome, said, why)
    }
}

pub(crate) fn usage(used: &vtwasm::Usage) -> Usage {
    Usage {
        cpu_time: used.cpu_time.as_secs_f64(),
        wall_time: used.wall_time.as_secs_f64(),
        memory: i64::try_from(used.peak_memory).unwrap_or(i64::MAX),
        output: i64::try_from(used.output).unwrap_or(i64::MAX),
    }
}

pub(crate) fn ended(outcome: &Outcome, said: Said, why: Option<Why>) -> End {
    match outcome {
        Outcome::Exited(code) => exited((*code).into(), said),
        Outcome::LimitHit(limit) => hit(*limit),
        Outcome::Killed => killed(why),
        Outcome::Deadlocked => failed("deadlock: every thread waited for another".into()),
        Outcome::Trapped(_) => failed("Python itself crashed in the sandbox".into()),
        other => failed(format!("it ended in an unknown way: {other:?}")),
    }
}

/// A program's own end.
pub(crate) fn exited(code: i64, said: Said) -> End {
    let (verdict, result, error) = match code {
        0 => (Verdict::Success, said.result, None),
        _ => {
            let error = said.error.map(|error| error.replace('\0', "\u{fffd}"));
            let error = error.unwrap_or_else(|| format!("it ended with exit code {code}"));
            (Verdict::Failure, None, Some(error))
        }
    };
    let is_of_memory = error
        .as_ref()
        .is_some_and(|error| error.starts_with("MemoryError"));
    End {
        verdict,
        limit: is_of_memory.then_some("memory"),
        error,
        exit_code: Some(code),
        result,
        ..failed(String::new())
    }
}

pub(crate) fn hit(limit: Limit) -> End {
    End {
        limit: Some(name(limit)),
        ..failed(format!("it hit its limit of {limit}"))
    }
}

pub(crate) fn killed(why: Option<Why>) -> End {
    let (verdict, error) = match why {
        Some(Why::Cancelled) => (Verdict::Revoked, "it was cancelled"),
        _ => (Verdict::GivenBack, "its worker left"),
    };
    End {
        verdict,
        ..failed(error.into())
    }
}

fn name(limit: Limit) -> &'static str {
    match limit {
        Limit::CpuTime => "cpu_time",
        Limit::WallTime => "wall_time",
        Limit::Output => "output",
        Limit::Memory => "memory",
        _ => "other",
    }
}

pub(crate) fn failed(error: String) -> End {
    End {
        verdict: Verdict::Failure,
        limit: None,
        error: Some(error.replace('\0', "\u{fffd}")),
        exit_code: None,
        result: None,
        files: Vec::new(),
        snapshot: None,
        timeline: None,
        usage: Usage::default(),
    }
}

/// An error with its causes, for the tenant.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
