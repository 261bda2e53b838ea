//! What the threads of a job did, as it is kept and told.

use serde::Serialize;
use utoipa::ToSchema;
use vtwasm::{Activity, Span, ThreadTimeline, Timeline};

/// Changes of one run that are kept: with their names some 60 bytes each.
pub(crate) const CHANGES: usize = 20_000;

/// What the threads of one start did.
#[derive(Serialize, ToSchema)]
pub(crate) struct JobTimeline {
    /// Which start.
    attempt: i64,
    /// Up to here it is known, in microseconds since the start: its end, or the first change that was left out.
    end: u64,
    /// Changes that were left out, because there were too many.
    dropped: u64,
    /// In the order in which they were started, the main one first.
    threads: Vec<JobThread>,
}

/// What one thread did.
#[derive(Serialize, ToSchema)]
pub(crate) struct JobThread {
    /// 0 is the main one.
    #[schema(value_type = u64)]
    number: u32,
    /// What people call it.
    #[schema(example = "thread 1")]
    name: String,
    /// One after the other.
    spans: Vec<JobSpan>,
}

/// For how long a thread did one thing.
#[derive(Serialize, ToSchema)]
pub(crate) struct JobSpan {
    /// Microseconds since the start.
    begin: u64,
    /// Microseconds since the start.
    end: u64,
    /// `running`; `ready`, while another thread runs; `sleeping`; or what it waits for: `lock`, `condition`, `join`, `io`.
    #[schema(example = "lock")]
    activity: &'static str,
    /// What it waits for, as a number: where it is the same, that is the same thing.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>)]
    subject: Option<u32>,
}

impl JobTimeline {
    pub(crate) fn new(attempt: i64, timeline: &Timeline) -> JobTimeline {
        JobTimeline {
            attempt,
            end: timeline.end,
            dropped: timeline.dropped,
            threads: timeline.threads.iter().map(JobThread::from).collect(),
        }
    }
}

impl From<&ThreadTimeline> for JobThread {
    fn from(thread: &ThreadTimeline) -> JobThread {
        JobThread {
            number: thread.number,
            name: thread.to_string(),
            spans: thread.spans.iter().map(JobSpan::from).collect(),
        }
    }
}

impl From<&Span> for JobSpan {
    fn from(span: &Span) -> JobSpan {
        JobSpan {
            begin: span.begin,
            end: span.end,
            activity: Activity::name(span.activity),
            subject: span.subject,
        }
    }
}
