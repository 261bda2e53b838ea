//! A job's starts. Those that were followed by another are kept apart, when they are over.

use super::files::TIMELINE;
use super::jobs::usage;
use super::{Store, Work, int, json, maybe_int, maybe_text, text};
use crate::error::Result;
use crate::job::{Attempt, Job, State};
use crate::time::Time;
use sqlx::any::AnyRow;
use std::collections::BTreeSet;

impl Store {
    /// Keeps the last starts of these jobs, which are over, before there are others.
    pub(super) async fn keep_attempts(&self, work: &mut Work, ids: &[&str]) -> Result<()> {
        if ids.is_empty() {
            return Ok(());
        }
        self.query(
            "INSERT INTO attempts (job, attempt, state, started, finished, hit_limit, error, exit_code, cpu_us, wall_us, memory, output)
             SELECT id, attempt, state, started, coalesce(finished, $now), hit_limit, error, exit_code, cpu_us, wall_us, memory, output
             FROM jobs WHERE id IN $ids AND attempt > 0
             ON CONFLICT (job, attempt) DO NOTHING",
        )
        .bind(json(&ids)?)
        .execute(&mut **work)
        .await?;
        Ok(())
    }

    /// How often a job has started, and how each start ended: the first one first.
    ///
    /// # Errors
    /// [`Error::NotFound`](crate::Error::NotFound).
    pub async fn attempts(&self, tenant: &str, id: &str) -> Result<Vec<Attempt>> {
        let job = self.job(tenant, id).await?;
        let rows = self
            .query(
                "SELECT attempt, state, started, finished, hit_limit, error, exit_code, cpu_us, wall_us, memory, output
                 FROM attempts WHERE job = $1 ORDER BY attempt",
            )
            .bind(id.to_owned())
            .fetch_all(&self.readers)
            .await?;
        let mut attempts = rows.iter().map(attempt).collect::<Result<Vec<_>>>()?;
        attempts.retain(|earlier| earlier.attempt <= job.attempt);
        if attempts.last().map_or(0, |last| last.attempt) < job.attempt {
            attempts.extend(last(job));
        }
        let query = self.query("SELECT path FROM job_files WHERE job = $1 AND role = $2");
        let query = query.bind(id.to_owned()).bind(TIMELINE);
        let rows = query.fetch_all(&self.readers).await?;
        let recorded = rows.iter().map(|row| text(row, "path"));
        let recorded = recorded.collect::<Result<BTreeSet<_>>>()?;
        for attempt in &mut attempts {
            attempt.timeline = recorded.contains(&attempt.attempt.to_string());
        }
        Ok(attempts)
    }
}

/// The one that a job's row tells of.
fn last(job: Job) -> Option<Attempt> {
    Some(Attempt {
        attempt: job.attempt,
        state: job.state,
        started: job.started?,
        finished: job.finished,
        limit: job.limit,
        error: job.error,
        exit_code: job.exit_code,
        usage: job.usage,
        timeline: false,
    })
}

fn attempt(row: &AnyRow) -> Result<Attempt> {
    Ok(Attempt {
        attempt: int(row, "attempt")?,
        state: State::named(&text(row, "state")?)?,
        started: Time(int(row, "started")?),
        finished: maybe_int(row, "finished")?.map(Time),
        limit: maybe_text(row, "hit_limit")?,
        error: maybe_text(row, "error")?,
        exit_code: maybe_int(row, "exit_code")?,
        usage: usage(row)?,
        timeline: false,
    })
}
