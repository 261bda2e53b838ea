//! How runs end: what is kept of them, and whether their jobs start again. What comes at once is one transaction.

use super::files::{Reference, TIMELINE};
use super::logs::Appending;
use super::queue::Claimed;
use super::{Store, Work, json, text};
use crate::error::Result;
use crate::job::{JobFile, State, StoredFile, Usage};
use crate::wake::News;
use futures::FutureExt;
use serde::Serialize;
use std::collections::BTreeMap;

/// The longest wait before a retry.
const LONGEST_BACKOFF: i64 = 3_600_000;

/// How a run ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// Its exit code was 0.
    Success,
    /// It failed, and is started again if it may be.
    Failure,
    /// It was cancelled.
    Revoked,
    /// Its worker leaves, and somebody else is to run it.
    GivenBack,
}

/// What is kept of a run's end.
#[derive(Clone, Debug)]
pub struct End {
    /// How it ended.
    pub verdict: Verdict,
    /// The limit that it hit.
    pub limit: Option<&'static str>,
    /// What went wrong.
    pub error: Option<String>,
    /// The program's.
    pub exit_code: Option<i64>,
    /// JSON.
    pub result: Option<String>,
    /// What it left, each kept already.
    pub files: Vec<JobFile>,
    /// The snapshot that it was to make, kept already.
    pub snapshot: Option<StoredFile>,
    /// The file with its timeline.
    pub timeline: Option<String>,
    /// What it used.
    pub usage: Usage,
}

impl Store {
    /// Writes how a run ended, with the output that is not written yet, if it was not given up before. Returns
    /// the job's state then.
    ///
    /// # Errors
    /// [`Error::Database`](crate::Error::Database).
    pub async fn finish(
        &self,
        job: &Claimed,
        end: &End,
        seq: i64,
        pieces: &[(&'static str, String)],
    ) -> Result<Option<State>> {
        let again = match end.verdict {
            Verdict::GivenBack => Some(0),
            Verdict::Failure if job.failures < job.retries => Some(backoff(job.backoff, job.failures)),
            _ => None,
        };
        let state = match (&end.verdict, again) {
            (Verdict::Success, _) => State::Success,
            (Verdict::Failure, None) => State::Failure,
            (Verdict::Revoked, _) => State::Revoked,
            (Verdict::Failure, Some(_)) => State::Retry,
            (Verdict::GivenBack, _) => State::Pending,
        };
        let ending = Ending {
            job: job.id.clone(),
            tenant: job.tenant.clone(),
            attempt: job.attempt,
            state: state.name(),
            again: again.unwrap_or(-1),
            failed: i64::from(end.verdict == Verdict::Failure),
            limit: end.limit,
            error: end.error.clone(),
            exit_code: end.exit_code,
            result: end.result.clone(),
            cpu_us: micros(end.usage.cpu_time),
            wall_us: micros(end.usage.wall_time),
            memory: end.usage.memory,
            output: end.usage.output,
            made: end.snapshot.as_ref().and_then(|file| made(job, file)),
            pieces: Appending::all(job, seq, pieces),
            files: files_of(job, end),
        };
        let bytes = end.result.as_ref().map_or(0, String::len);
        let bytes = bytes + pieces.iter().map(|(_, text)| text.len()).sum::<usize>();
        let finish = |store, all| finish_all(store, all).boxed();
        self.ending.add(self, ending, bytes, finish).await
    }

    /// Ends runs that were not given up, and returns the states of their jobs.
    async fn end(&self, work: &mut Work, all: &[Ending]) -> Result<BTreeMap<String, State>> {
        // Who cancelled a job meanwhile does not want it to start again.
        let rows = self
            .query(
                "UPDATE jobs SET
                     state = CASE WHEN cancel = 1 AND r.again >= 0 THEN 'REVOKED' ELSE r.following END,
                     not_before = CASE WHEN r.again >= 0 THEN $now + r.again ELSE not_before END,
                     finished = CASE WHEN cancel = 1 OR r.again < 0 THEN $now END,
                     failures = failures + r.failed, worker = NULL, lease = NULL, refused = NULL,
                     hit_limit = r.limited, error = r.why, exit_code = r.code, result = r.returned,
                     cpu_us = r.cpu, wall_us = r.wall, memory = r.bytes, output = r.written
                 FROM (SELECT value->>'job' AS job, CAST(value->>'attempt' AS BIGINT) AS start, value->>'state' AS following,
                     CAST(value->>'again' AS BIGINT) AS again, CAST(value->>'failed' AS BIGINT) AS failed,
                     value->>'limit' AS limited, value->>'error' AS why, CAST(value->>'exit_code' AS BIGINT) AS code,
                     value->>'result' AS returned, CAST(value->>'cpu_us' AS BIGINT) AS cpu,
                     CAST(value->>'wall_us' AS BIGINT) AS wall, CAST(value->>'memory' AS BIGINT) AS bytes,
                     CAST(value->>'output' AS BIGINT) AS written FROM $rows) AS r
                 WHERE id = r.job AND attempt = r.start AND state = 'STARTED'
                 RETURNING id, state",
            )
            .bind(json(&all)?)
            .fetch_all(&mut **work)
            .await?;
        let state = |row| Ok((text(row, "id")?, State::named(&text(row, "state")?)?));
        rows.iter().map(state).collect()
    }

    /// Of a job's attempts the last one's files are its own.
    async fn replace_left(&self, work: &mut Work, ended: &[&Ending]) -> Result<()> {
        let again = ended
            .iter()
            .filter(|end| end.attempt > 1 || !end.files.is_empty());
        let again = again.map(|end| end.job.as_str()).collect::<Vec<_>>();
        if again.is_empty() {
            return Ok(());
        }
        self.forget_left(work, &again).await?;
        let files = ended.iter().flat_map(|end| &end.files).collect::<Vec<_>>();
        self.refer(work, &files).await
    }

    async fn account(&self, work: &mut Work, ended: &[&Ending]) -> Result<()> {
        let mut sums = BTreeMap::<_, [i64; 4]>::new();
        for end in ended {
            let sum = sums.entry(&end.tenant).or_default();
            for (sum, part) in sum.iter_mut().zip([1, end.cpu_us, end.wall_us, end.output]) {
                *sum += part;
            }
        }
        let rows = sums
            .iter()
            .map(|(tenant, [runs, cpu, wall, output])| (tenant, runs, cpu, wall, output));
        self.query(
            "INSERT INTO usage (tenant, hour, runs, cpu_us, wall_us, output)
             SELECT value->>0, $now / 3600000, CAST(value->>1 AS BIGINT), CAST(value->>2 AS BIGINT),
                 CAST(value->>3 AS BIGINT), CAST(value->>4 AS BIGINT) FROM $rows WHERE true
             ON CONFLICT (tenant, hour) DO UPDATE SET runs = usage.runs + excluded.runs,
                 cpu_us = usage.cpu_us + excluded.cpu_us, wall_us = usage.wall_us + excluded.wall_us,
                 output = usage.output + excluded.output",
        )
        .bind(json(&rows.collect::<Vec<_>>())?)
        .execute(&mut **work)
        .await?;
        Ok(())
    }
}

/// A run's end on its way.
#[derive(Clone, Serialize)]
pub(super) struct Ending {
    job: String,
    #[serde(skip)]
    tenant: String,
    attempt: i64,
    state: &'static str,
    /// Milliseconds until its next start; -1: there is none.
    again: i64,
    failed: i64,
    limit: Option<&'static str>,
    error: Option<String>,
    exit_code: Option<i64>,
    result: Option<String>,
    cpu_us: i64,
    wall_us: i64,
    memory: i64,
    output: i64,
    #[serde(skip)]
    pieces: Vec<Appending>,
    #[serde(skip)]
    files: Vec<Reference>,
    #[serde(skip)]
    pub(super) made: Option<Made>,
}

/// A snapshot that a run has made.
#[derive(Clone, Serialize)]
pub(super) struct Made {
    tenant: String,
    name: String,
    hash: String,
    source: String,
    /// JSON.
    packages: String,
    lock: Option<String>,
    job: String,
    for_secrets: i64,
}

fn made(job: &Claimed, file: &StoredFile) -> Option<Made> {
    let submission = &job.submission;
    let makes = submission.makes.as_ref()?;
    Some(Made {
        tenant: job.tenant.clone(),
        name: makes.name.clone(),
        for_secrets: makes.for_secrets.into(),
        hash: file.sha256.clone(),
        source: submission.source.clone(),
        packages: json(&submission.packages).ok()?,
        lock: job.lock.clone(),
        job: job.id.clone(),
    })
}

/// What a run has left, and what tells of it.
fn files_of(job: &Claimed, end: &End) -> Vec<Reference> {
    let file = |role, path: String, hash: &String| Reference {
        job: job.id.clone(),
        role,
        path,
        tenant: job.tenant.clone(),
        hash: hash.clone(),
    };
    let left = end.files.iter();
    let left = left.map(|left| file("output", left.path.clone(), &left.sha256));
    let timeline = end.timeline.iter();
    let timeline = timeline.map(|hash| file(TIMELINE, job.attempt.to_string(), hash));
    left.chain(timeline).collect()
}

async fn finish_all(store: Store, mut all: Vec<Ending>) -> Result<Vec<Result<Option<State>>>> {
    let pieces = all
        .iter_mut()
        .flat_map(|end| std::mem::take(&mut end.pieces))
        .collect::<Vec<_>>();
    let mut work = store.begin().await?;
    store.append_in(&mut work, &pieces).await?;
    let states = store.end(&mut work, &all).await?;
    let again = states.iter().filter(|(_, state)| !state.is_final());
    let again = again.map(|(id, _)| id.as_str()).collect::<Vec<_>>();
    store.keep_attempts(&mut work, &again).await?;
    store.enqueue(&mut work, &again).await?;
    let ended = all
        .iter()
        .filter(|end| states.contains_key(&end.job))
        .collect::<Vec<_>>();
    store.account(&mut work, &ended).await?;
    store.replace_left(&mut work, &ended).await?;
    let is_done = |end: &&&Ending| states.get(&end.job) == Some(&State::Success);
    let done = ended.iter().filter(is_done).copied().collect::<Vec<_>>();
    store.keep_snapshots(&mut work, &done).await?;
    let mut news = states
        .keys()
        .map(|id| News::Job(id.as_str().into()))
        .collect::<Vec<_>>();
    if !again.is_empty() {
        news.push(News::Queue);
    }
    store.tell(&mut work, &news).await?;
    work.commit().await?;
    news.into_iter().for_each(|news| store.wake.tell(news));
    // A tenant that was at its quota may run another one.
    store.wake.tell(News::Queue);
    Ok(all.iter().map(|end| Ok(states.get(&end.job).copied())).collect())
}

/// Twice as long each time.
fn backoff(first: i64, failures: i64) -> i64 {
    let factor = 1_i64 << failures.clamp(0, 30);
    first.saturating_mul(factor).min(LONGEST_BACKOFF.max(first))
}

pub(super) fn micros(seconds: f64) -> i64 {
    (seconds * 1e6) as i64
}

#[cfg(test)]
mod tests {
    #[test]
    fn each_retry_waits_twice_as_long_up_to_an_hour() {
        let waits = [0, 1, 2, 11, 12, 99].map(|failures| super::backoff(1000, failures));
        assert_eq!(waits, [1000, 2000, 4000, 2_048_000, 3_600_000, 3_600_000]);
        assert_eq!(super::backoff(7_200_000, 1), 7_200_000);
    }
}
